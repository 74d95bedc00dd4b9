"""Adapter. What the code can do, asked of the code itself: the questions behind docs/COVERAGE.md.

Nothing is kept by hand. Handlers are looked up where the RPC server looks, commands are given their
options, the data port is shown every operation, and sources are read where an answer is only there.
"""

from __future__ import annotations

import ast
import gc
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from functools import cache
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import hdfsd
from hdfsd.base.errors import HdfsdError, PeerError
from hdfsd.cli import haadmin
from hdfsd.cli.dfs import COMMANDS as DFS_COMMANDS
from hdfsd.cli.shell import Command, UsageError
from hdfsd.datanode.xceiver import Xceiver
from hdfsd.editlog.ops import EditOp
from hdfsd.image import inodes, load_snapshots
from hdfsd.image import load as image_load
from hdfsd.rpc.meta import ProtocolMetaInfo
from hdfsd.rpc.server import handlers_of
from hdfsd.wire import services as wire
from hdfsd.wire.packets import Op

SOURCE = Path(hdfsd.__file__).parent
ARGUMENTS_MAX = 4
"""No command needs more words to get past the check of their number."""


@cache
def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    # CPython 3.11 counts the depth of its parser for the whole process: a finalizer that formats a
    # traceback meanwhile makes it a SystemError, so none may run here.
    gc.disable()
    try:
        return ast.parse(path.read_text())
    finally:
        gc.enable()


def modules(*rooms: str) -> Iterator[Path]:
    """The files of some rooms; of all when none is named."""
    for path in sorted(SOURCE.glob("*/*.py")):
        if not rooms or path.parent.name in rooms:
            yield path


# -- RPC


def served() -> Mapping[str, tuple[list[str], type[Any]]]:
    """Protocol → who serves it, and the class of the first of them that has its handlers.

    Read from the tables that the daemons give to their RPC servers.
    """
    found: dict[str, tuple[list[str], type[Any]]] = {}
    for path in modules():
        if path.parent.name in ("wire", "rpc"):
            continue
        room = path.stem if path.parent.name == "daemons" else path.parent.name
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Dict):
                for protocol in _protocols(node):
                    if protocol not in found:
                        found[protocol] = [], _service_class(room, protocol)
                    if room not in found[protocol][0]:
                        found[protocol][0].append(room)
    found[wire.PROTOCOL_META_INFO] = ["every daemon"], ProtocolMetaInfo
    return found


def _protocols(table: ast.Dict) -> Iterator[str]:
    for key in table.keys:
        if isinstance(key, ast.Name) and key.id.endswith("_PROTOCOL"):
            yield getattr(wire, key.id)


def _service_class(room: str, protocol: str) -> type[Any]:
    """The class of a room that has most handlers of a protocol."""
    classes = [
        kind
        for path in modules(room)
        for _, kind in inspect.getmembers(import_module(f"hdfsd.{room}.{path.stem}"), _is_class)
        if kind.__module__.startswith(f"hdfsd.{room}.")
    ]
    found: type[Any] = max(classes, key=lambda kind: len(handlers_of(protocol, kind)))
    return found


def _is_class(found: object) -> bool:
    return inspect.isclass(found)


def only_raises_not_built(function: Callable[..., Any]) -> bool:
    """Whether a function does nothing but raise NotBuilt."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError):
        return False
    body = tree.body[0].body  # type: ignore[attr-defined]
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    raised = body[0] if len(body) == 1 and isinstance(body[0], ast.Raise) else None
    return raised is not None and "NotBuilt" in ast.unparse(raised)


# -- data transfer


class _Asked(Exception):
    """An operation wants its request: it is built."""


class _AskedStream:
    """The connection of a client that has sent no more than the operation's number."""

    peer = "a probe"

    def message(self, kind: type[Any]) -> Any:
        raise _Asked(kind)

    def send(self, data: object) -> None:
        """An answer without having read the request: a refusal."""

    def discard_until_closed(self) -> None:
        """After a refusal."""


class _NoPeers:
    settings = None


def data_operation_is_built(operation: Op) -> bool:
    """Whether the data port reads the request of an operation, rather than refuse its number."""
    xceiver = Xceiver(None, _NoPeers(), _AskedStream())  # type: ignore[arg-type]
    try:
        xceiver._dispatch(operation)
    except _Asked:
        return True
    except PeerError:
        pass
    return False


# -- edits and images


@cache
def calls_outside(room: str) -> frozenset[str]:
    """Names of everything that is called or passed on as a value outside of one room."""
    found = set()
    for path in modules():
        if path.parent.name != room:
            for node in ast.walk(tree_of(path)):
                if isinstance(node, ast.Call):
                    found.add(ast.unparse(node.func).rpartition(".")[2])
    return frozenset(found)


def is_issued(op: type[EditOp]) -> bool:
    """Whether anything of ours ever makes such an operation."""
    return op.__name__ in calls_outside("editlog")


def section_uses(module: Path) -> Mapping[str, set[str]]:
    """Image section → the functions and classes of a module that name it."""
    found: dict[str, set[str]] = {}
    for top in tree_of(module).body:
        for node in ast.walk(top):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sections":
                found.setdefault(node.attr, set()).add(getattr(top, "name", ""))
    return found


def refusals() -> Mapping[str, list[str]]:
    """Image section → what of it the loader refuses, in the words of its errors."""
    files = [Path(module.__file__ or "") for module in (image_load, load_snapshots, inodes)]
    tops = {getattr(top, "name", ""): top for file in files for top in tree_of(file).body}
    own = {name: list(_not_built_texts(top)) for name, top in tops.items()}
    uses: dict[str, set[str]] = {}
    for file in files:
        for section, users in section_uses(file).items():
            uses.setdefault(section, set()).update(users)
    found: dict[str, list[str]] = {}
    for section, users in uses.items():
        direct = users - {"", "load"}
        users_too = {name for name in set(tops) - {"", "load"} if direct & _called_by(tops[name])}
        named = direct | users_too
        named |= {name for user in named for name in _called_by(tops[user]) & set(own)}
        found[section] = sorted({text for name in named for text in own[name]})
    return found


def _called_by(top: ast.AST) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(top) if isinstance(node, ast.Call)}


def _not_built_texts(top: ast.AST) -> Iterator[str]:
    for node in ast.walk(top):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "NotBuilt":
            words = "".join(_literal(part) for part in ast.walk(node.args[0]))
            yield words.strip(" :()").partition(",")[0]


def _literal(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


# -- commands


class _Reached(Exception):
    """A command went beyond its options."""


class _NoFileSystems:
    def __getattr__(self, name: str) -> Any:
        raise _Reached(name)


def dfs_takes(name: str, option: str) -> bool:
    """Whether a command of `hdfsd dfs` takes an option: it is given it."""
    for count in range(ARGUMENTS_MAX + 1):
        command = DFS_COMMANDS[name](name, _NoFileSystems())  # type: ignore[arg-type]
        try:
            with redirect_stdout(StringIO()):
                command.options([option, *["1"] * count])
        except UsageError as error:
            if "arguments" not in str(error):
                return option not in str(error)
        except (_Reached, HdfsdError, ValueError):
            return True
        else:
            return True
    return False


def dfs_heeds(name: str, option: str) -> bool:
    """Whether the code of a command asks for an option, rather than only take it."""
    flag = option[1:]
    for kind in DFS_COMMANDS[name].__mro__:
        if not issubclass(kind, Command) or kind is Command:
            continue
        module = tree_of(Path(inspect.getfile(kind)))
        tree = next(n for n in module.body if getattr(n, "name", "") == kind.__name__)
        known = {
            id(part)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "parse_options"
            for argument in call.args[1:]
            for part in ast.walk(argument)
        }
        if any(_literal(n) == flag for n in ast.walk(tree) if id(n) not in known):
            return True
        if any(isinstance(n, ast.Attribute) and n.attr == "flags" for n in ast.walk(tree)):
            return True
    return not _is_plain_flag(name, flag)


def _is_plain_flag(name: str, flag: str) -> bool:
    """Whether parse_options knows it by that very word; others are parsed by the command's own."""
    return any(
        _literal(part) == flag
        for kind in DFS_COMMANDS[name].__mro__
        if issubclass(kind, Command)
        for part in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(kind))))
    )


def haadmin_takes(name: str, option: str) -> bool:
    """Whether a command of `hdfsd haadmin` takes an option."""
    return haadmin._parse([option], haadmin.COMMANDS[f"-{name}"].flags) is not None


def words_of(module_name: str) -> frozenset[str]:
    """String constants of a command's module and of those of its room that it imports, lower."""
    room = module_name.rpartition(".")[0]
    trees = [_module_tree(module_name)]
    for node in ast.walk(trees[0]):
        if isinstance(node, ast.ImportFrom) and node.module == room:
            trees += [_module_tree(f"{room}.{alias.name}") for alias in node.names]
    return frozenset(_literal(node).lower() for tree in trees for node in ast.walk(tree))


def _module_tree(name: str) -> ast.Module:
    path = SOURCE.parent / f"{name.replace('.', '/')}.py"
    return tree_of(path) if path.exists() else ast.Module([], [])


def listed_commands(lines: Iterable[str]) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """scripts/hadoop-commands.txt: tool → command → options."""
    found: dict[str, dict[str, Sequence[str]]] = {}
    for line in lines:
        words = line.split()
        if line.startswith("["):
            found[line.strip("[]\n ")] = tool = {}
        elif words and not line.startswith("#"):
            tool[words[0]] = words[1:]
    return found
