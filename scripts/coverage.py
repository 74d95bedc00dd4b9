"""Adapter. docs/COVERAGE.md from the code: what of Hadoop's is built, in part or not (make docs).

Methods: a handler that exists is built, one marked `partial` is built in part, one that only raises
NotBuilt is missing, as is one that does not exist. Options: a command is given each of Hadoop's
(hadoop-commands.txt). So the page can't say what the code does not do.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import probes

from hdfsd.base import config_keys, settings
from hdfsd.cli.dfs import COMMANDS as DFS_COMMANDS
from hdfsd.cli.haadmin import COMMANDS as HAADMIN_COMMANDS
from hdfsd.cli.main import COMMANDS as MAIN_COMMANDS
from hdfsd.editlog.codec import FIELDS
from hdfsd.editlog.ops import OP_CLASSES, OPCODES_OBSOLETE, EditOp
from hdfsd.image import save as image_save
from hdfsd.image.sections import SUB_SECTIONS, WRITTEN_ORDER
from hdfsd.namespace import apply
from hdfsd.rpc.coverage import missing_of
from hdfsd.rpc.server import handlers_of
from hdfsd.web.webhdfs_operations import NAMES as WEBHDFS_NAMES
from hdfsd.web.webhdfs_operations import OPERATIONS as WEBHDFS_OPERATIONS
from hdfsd.wire import services as wire
from hdfsd.wire.packets import Op

Row = tuple[str, ...]

BUILT, PARTLY, MISSING = "built", "partly", "missing"
HELP_WORDS = ("help", "usage")
"""Answered by the tools themselves, before any command."""
ROLES = {
    "namenode": "NameNode",
    "datanode": "DataNode",
    "journal": "JournalNode",
    "failover": "failover controller",
}


def method_rows() -> Iterator[tuple[str, str, str, str]]:
    """(protocol, method, state, note) of every RPC."""
    served = probes.served()
    for name, table in wire.PROTOCOLS.items():
        handlers = handlers_of(name, served[name][1]) if name in served else {}
        for method in table.methods:
            handler = handlers.get(method)
            if handler is None or probes.only_raises_not_built(handler):
                yield name, method, MISSING, ""
            else:
                note = missing_of(handler)
                yield name, method, PARTLY if note else BUILT, note or ""


def op_rows() -> Iterator[Row]:
    """Every edit operation: read and written, applied, issued by a request here."""
    for op in sorted(OP_CLASSES, key=lambda op: op.OPCODE):
        coded = "yes" if op in FIELDS else "no"
        yield str(op.OPCODE), op.NAME, coded, _applied(op), "yes" if probes.is_issued(op) else "no"
    for opcode, name in OPCODES_OBSOLETE.items():
        yield str(opcode), name, "no: obsolete, nobody writes it", "no", "no"


def _applied(op: type[EditOp]) -> str:
    applier = apply._APPLIERS[op]
    if probes.only_raises_not_built(applier):
        return "no: a log with it is refused, with its name"
    if applier is apply._retain:
        return "kept in memory and image, without effect"
    return "yes"


def section_rows() -> Iterator[Row]:
    """(section, state, what is refused) of the image."""
    written = probes.section_uses(Path(image_save.__file__))
    refusals = probes.refusals()
    for name in WRITTEN_ORDER:
        if name not in refusals:
            yield name, MISSING, "not read"
        elif refusals[name]:
            note = "" if name in written else "never written; "
            yield name, PARTLY, f"{note}an image is refused when: {'; '.join(refusals[name])}"
        else:
            yield name, BUILT if name in written else PARTLY, ""
    for name in sorted(SUB_SECTIONS):
        yield name, PARTLY, "neither written nor needed: the whole section says the same"


def operation_rows() -> Iterator[Row]:
    """(number, name, state) of the data port's operations."""
    for operation in Op:
        built = probes.data_operation_is_built(operation)
        yield str(operation.value), operation.name, BUILT if built else MISSING


def webhdfs_rows() -> Iterator[Row]:
    """(HTTP method, operation, state) of WebHDFS."""
    for verb, names in WEBHDFS_NAMES.items():
        for name in sorted(names):
            yield verb, name, BUILT if (verb, name) in WEBHDFS_OPERATIONS else MISSING


IMAGE_KEYS = ("dfs.image.", "dfs.namenode.checkpoint.", "dfs.namenode.num.", "dfs.ha.standby.")
"""Beginnings of the settings of images and checkpoints."""
UNREAD_IMAGE_KEYS = {
    "dfs.image.parallel.": "an image is read by one thread, and written without sub-sections",
    "dfs.image.transfer-bootstrap-standby.": "a download is as fast as its reader",
    "dfs.namenode.checkpoint.dir": "of the SecondaryNameNode, which is not built",
    "dfs.namenode.checkpoint.edits.dir": "of the SecondaryNameNode, which is not built",
    "dfs.namenode.checkpoint.max-retries": "of the SecondaryNameNode, which is not built",
    "dfs.namenode.legacy-oiv-image.dir": "the image of Hadoop 2.3 and before is not written",
}
PARTLY_READ_IMAGE_KEYS = {
    "dfs.image.transfer.bandwidthPerSec": "of uploads; a download is as fast as its reader",
    "dfs.image.compression.codec": "those of zlib",
}


def setting_rows() -> Iterator[Row]:
    """(key, state, what is missing) of the settings of images and checkpoints."""
    source = Path(settings.__file__).read_text()
    known = {key for key in config_keys.DEFAULTS if key.startswith(IMAGE_KEYS)}
    for key in sorted(known | {"dfs.namenode.legacy-oiv-image.dir"}):
        if f'"{key}"' in source:
            note = PARTLY_READ_IMAGE_KEYS.get(key, "")
            yield f"`{key}`", PARTLY if note else BUILT, note
        else:
            (note,) = (why for start, why in UNREAD_IMAGE_KEYS.items() if key.startswith(start))
            yield f"`{key}`", MISSING, note


def built_commands() -> dict[str, str]:
    """The words after `hdfsd` whose modules exist."""
    return {name: module for name, (module, _) in MAIN_COMMANDS.items() if find_spec(module)}


def hdfs_takes(name: str, option: str) -> bool:
    """Whether the module of a command speaks of an option."""
    return option.lower() in probes.words_of(MAIN_COMMANDS[name][0])


def command_rows(
    known: Mapping[str, Sequence[str]],
    ours: Mapping[str, object],
    takes: Callable[[str, str], bool],
    heeds: Callable[[str, str], bool] = lambda name, option: True,
) -> Iterator[Row]:
    """(command, state, what is missing) for Hadoop's commands, then for ours alone."""
    for name, options in known.items():
        if name in HELP_WORDS:
            continue
        if name not in ours:
            yield name, MISSING, ""
            continue
        refused = [option for option in options if not takes(name, option)]
        idle = [o for o in options if o not in refused and not heeds(name, o)]
        notes = [f"no {' '.join(refused)}"] if refused else []
        notes += [f"taken without effect: {' '.join(idle)}"] if idle else []
        yield name, PARTLY if notes else BUILT, "; ".join(notes)
    for name in ours:
        if name not in known:
            yield name, BUILT, "ours alone"


def table(header: Row, rows: Iterator[Row]) -> list[str]:
    """A Markdown table."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def protocol_sections() -> Iterator[str]:
    """Every protocol with its methods."""
    rows = list(method_rows())
    served = probes.served()
    for name in wire.PROTOCOLS:
        own = [(method, state, note) for owner, method, state, note in rows if owner == name]
        built = sum(state != MISSING for _, state, _ in own)
        rooms = served[name][0] if name in served else ["nobody"]
        servers = ", ".join(ROLES.get(room, room) for room in rooms)
        yield f"\n### {name}\n\nServed by: {servers}; {built} of {len(own)} methods.\n"
        yield from table(("method", "state", "what is missing"), iter(own))


def counted(name: str, states: Sequence[str]) -> str:
    """`RPC methods: 3 built, 1 missing`."""
    count = Counter(states)
    return f"- {name}: {', '.join(f'{count[state]} {state}' for state in (BUILT, PARTLY, MISSING))}"


def page() -> str:
    """The whole page."""
    listed = probes.listed_commands(
        Path(__file__).with_name("hadoop-commands.txt").read_text().splitlines()
    )
    ha_commands = {name.removeprefix("-"): command for name, command in HAADMIN_COMMANDS.items()}
    hdfs = list(command_rows(listed["hdfs"], built_commands(), hdfs_takes))
    dfs = list(command_rows(listed["dfs"], DFS_COMMANDS, probes.dfs_takes, probes.dfs_heeds))
    haadmin = list(command_rows(listed["haadmin"], ha_commands, probes.haadmin_takes))
    operations, sections = list(operation_rows()), list(section_rows())
    command_header = ("state", "what is missing")
    lines = [
        "# What of Hadoop's is built",
        "",
        "Made from the code by `make docs`; a test keeps it fresh. The yardsticks are the",
        "protocols of Hadoop 3.4.1 and the usages of its tools. A missing method answers",
        "`java.lang.UnsupportedOperationException`; a setting or a file that asks for something",
        "missing is refused by name.",
        "",
        counted("RPC methods", [state for _, _, state, _ in method_rows()]),
        counted("data transfer operations", [row[2] for row in operations]),
        counted("WebHDFS operations", [row[2] for row in webhdfs_rows()]),
        counted("image sections", [row[1] for row in sections]),
        counted("commands of `hdfs`", [row[1] for row in hdfs]),
        counted("commands of `hdfs dfs`", [row[1] for row in dfs]),
        "",
        "## Commands",
        "",
        *table(("hdfs", *command_header), iter(hdfs)),
        "",
        *table(("hdfs dfs", *command_header), iter(dfs)),
        "",
        *table(("hdfs haadmin", *command_header), iter(haadmin)),
        "",
        "## Edit operations",
        "",
        "Issued: whether a request to our own NameNode ever writes it.",
        "",
        *table(("opcode", "name", "read and written", "applied", "issued"), op_rows()),
        "",
        "## Image sections",
        "",
        *table(("section", "state", "what is missing"), iter(sections)),
        "",
        "## Settings of images and checkpoints",
        "",
        *table(("key", "state", "what is missing"), setting_rows()),
        "",
        "## Data transfer operations",
        "",
        *table(("number", "name", "state"), iter(operations)),
        "",
        "## WebHDFS",
        "",
        *table(("HTTP", "operation", "state"), webhdfs_rows()),
        "",
        "## RPC",
        *protocol_sections(),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
