"""Adapter. `hdfsd journal`: looks at the journals of a quorum and changes nothing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import uvloop

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConfigError
from hdfsd.base.ids import Address
from hdfsd.base.nameservices import JOURNALNODE_RPC_PORT, SharedDirectory, parse_shared_edits
from hdfsd.cli.journal_sources import Directory, Host, Source, look_at
from hdfsd.editlog.checkup import SegmentReport
from hdfsd.io.site import configuration_of, current_user
from hdfsd.quorum.foretell import Forecast, foretell
from hdfsd.quorum.inspect import JournalContent, Verdict, verify

CLEAN, PROBLEMS, USAGE_CODE = 0, 1, 2
SHARED_EDITS = "dfs.namenode.shared.edits.dir"
USAGE = """\
Usage: hdfsd journal verify [--json] [--journal ID] [SOURCE ...]
       hdfsd journal recover --dry-run [--json] [--journal ID] [SOURCE ...]

  SOURCE  all journals of one quorum: directories (<edits dir>/<journal id>), live JournalNodes
          (HOST:PORT with --journal ID, or qjournal://HOST:PORT;.../ID), or both;
          without any, those of dfs.namenode.shared.edits.dir

  verify   checks every checksum and txid, compares the copies, says what a majority holds
  recover  says, step by step, what a recovery would decide and why

Nothing is changed. Exit codes: 0 clean, 1 there are problems, 2 usage."""
NOT_WITHOUT_DRY_RUN = (
    "hdfsd journal recover changes nothing: the NameNode recovers the journal when it becomes"
    " active. Use --dry-run to see what it would decide, `hdfsd haadmin -transitionToActive` or"
    " -failover to have it done."
)


class _Usage(Exception):
    """The words make no command."""


@dataclass(slots=True)
class Words:
    command: str
    as_json: bool = False
    dry_run: bool = False
    journal_id: str | None = None
    sources: list[str] = field(default_factory=list)


def parse(arguments: Sequence[str]) -> Words:
    """Raises _Usage."""
    if not arguments or arguments[0] not in COMMANDS:
        raise _Usage(f"{arguments[0]!r} is no command" if arguments else "a command is missing")
    words, rest = Words(arguments[0]), list(arguments[1:])
    while rest:
        word = rest.pop(0)
        match word:
            case "--json":
                words.as_json = True
            case "--dry-run" if words.command == "recover":
                words.dry_run = True
            case "--journal" if rest:
                words.journal_id = rest.pop(0)
            case _ if word.startswith("-"):
                raise _Usage(f"{word!r} is no option here, or lacks its value")
            case _:
                words.sources.append(word)
    return words


def sources_of(words: Words, conf: Configuration) -> list[Source]:
    """What to look at. Raises _Usage or ConfigError."""
    texts = words.sources
    if not texts:
        configured = conf.get(SHARED_EDITS)
        if configured is None:
            raise _Usage(f"name the journals, or set {SHARED_EDITS}")
        texts = [configured]
    found: list[Source] = []
    for text in texts:
        found += _sources(text, words.journal_id)
    if len(set(found)) != len(found):
        raise _Usage("a journal is named twice: it would vote twice")
    return found


def _sources(text: str, journal_id: str | None) -> Sequence[Source]:
    if text.startswith(("qjournal:", "file:")):
        journal = parse_shared_edits(SHARED_EDITS, text)
        if isinstance(journal, SharedDirectory):
            return [Directory(journal.path)]
        return [Host(node, journal.journal_id) for node in journal.nodes]
    if "/" in text or os.path.isdir(text):
        return [Directory(text)]
    if journal_id is None:
        raise _Usage(f"{text} is no directory; of which journal shall it tell? Add --journal ID")
    try:
        return [Host(Address.parse(text, JOURNALNODE_RPC_PORT), journal_id)]
    except ValueError as error:
        raise _Usage(f"{text}: {error}") from error


def main(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code."""
    conf, rest = configuration_of(arguments)
    if rest[:1] in (["-h"], ["-help"], ["--help"]):
        print(USAGE)
        return CLEAN
    try:
        words = parse(rest)
        if words.command == "recover" and not words.dry_run:
            print(NOT_WITHOUT_DRY_RUN, file=sys.stderr)
            return USAGE_CODE
        sources = sources_of(words, conf)
        contents = uvloop.run(look_at(sources, current_user()))
    except (_Usage, ConfigError) as error:
        print(f"hdfsd journal: {error}\n{USAGE}", file=sys.stderr)
        return USAGE_CODE
    return COMMANDS[words.command](contents, words.as_json)


# -- verify ----------------------------------------------------------------------------------


def _verify(contents: Sequence[JournalContent], as_json: bool) -> int:
    verdict = verify(contents)
    if as_json:
        print(json.dumps(_verdict_json(contents, verdict), indent=2))
    else:
        print("\n".join(_verdict_lines(contents, verdict)))
    return PROBLEMS if verdict.problems else CLEAN


def _verdict_lines(contents: Sequence[JournalContent], verdict: Verdict) -> list[str]:
    lines: list[str] = []
    for content in contents:
        lines.append(f"{content.journal}: {_journal_line(content)}")
        lines += [f"  {_segment_line(report)}" for report in content.segments]
    ranges = ", ".join(f"{first} to {last}" for first, last in verdict.durable)
    count = f"{verdict.needed} of {verdict.journals}"
    lines.append(f"On a majority ({count}): {f'txids {ranges}' if ranges else 'no transaction'}")
    for finding in verdict.findings:
        who = f"{finding.journal} " if finding.journal else ""
        lines.append(f"{finding.severity.value.upper()}: {who}{finding.text}")
    problems = len(verdict.problems)
    lines.append("clean" if not problems else f"{problems} problem{'s' if problems > 1 else ''}")
    return lines


def _journal_line(content: JournalContent) -> str:
    if content.error is not None:
        return content.error
    if not content.formatted:
        return "not formatted"
    told = []
    if content.storage is not None:
        storage = content.storage
        told.append(f"namespace {storage.namespace_id} of cluster {storage.cluster_id}")
    if content.promised is not None:
        told.append(f"promised epoch {content.promised}")
    if content.writer_epoch is not None:
        told.append(f"last writer's epoch {content.writer_epoch}")
    if content.committed_txid is not None:
        told.append(f"told of txid {content.committed_txid} as durable")
    for first, accepted in sorted((content.accepted or {}).items()):
        told.append(
            f"accepted {first}..{accepted.last_txid} in a recovery of epoch {accepted.epoch}"
        )
    return "; ".join(told)


def _segment_line(report: SegmentReport) -> str:
    held = "no transaction"
    if report.count:
        held = f"txids {report.first_txid} to {report.last_txid}"
    return f"{report.file.name}: {held}, {report.size_bytes} bytes, layout {report.layout_version}"


def _verdict_json(contents: Sequence[JournalContent], verdict: Verdict) -> object:
    return {
        "clean": not verdict.problems,
        "journals": [_journal_json(content) for content in contents],
        "majority": verdict.needed,
        "onMajority": [{"first": first, "last": last} for first, last in verdict.durable],
        "spans": [
            {
                "first": span.first_txid,
                "last": span.last_txid,
                "holders": span.holders,
                "otherBytesOn": span.others,
            }
            for span in verdict.spans
        ],
        "findings": [
            {"severity": f.severity.value, "journal": f.journal, "text": f.text}
            for f in verdict.findings
        ],
    }


def _journal_json(content: JournalContent) -> object:
    storage = content.storage
    return {
        "journal": content.journal,
        "error": content.error,
        "formatted": content.formatted,
        "namespaceId": None if storage is None else storage.namespace_id,
        "clusterId": None if storage is None else storage.cluster_id,
        "lastPromisedEpoch": content.promised,
        "lastWriterEpoch": content.writer_epoch,
        "committedTxId": content.committed_txid,
        "segments": [
            {
                "name": report.file.name,
                "first": report.first_txid,
                "last": report.last_txid,
                "inProgress": report.file.in_progress,
                "bytes": report.size_bytes,
                "layoutVersion": report.layout_version,
                "damage": report.damage,
            }
            for report in content.segments
        ],
    }


# -- recover ---------------------------------------------------------------------------------


def _recover(contents: Sequence[JournalContent], as_json: bool) -> int:
    for content in contents:
        if content.formatted and content.promised is None:
            text = f"hdfsd journal: {content.journal} is no JournalNode's directory"
            print(text, file=sys.stderr)
            return USAGE_CODE
    found = foretell(contents)
    if as_json:
        print(json.dumps(_forecast_json(found), indent=2))
    else:
        lines = [f"{number}. {text}" for number, text in enumerate(found.sentences, 1)]
        print("\n".join([*lines, "Nothing was changed."]))
    return CLEAN if found.possible else PROBLEMS


def _forecast_json(found: Forecast) -> object:
    return {
        "possible": found.possible,
        "epoch": found.epoch,
        "segment": found.first_txid,
        "endTxId": found.end_txid,
        "source": found.source,
        "journals": found.steps,
        "steps": found.sentences,
    }


COMMANDS: dict[str, Callable[[Sequence[JournalContent], bool], int]] = {
    "verify": _verify,
    "recover": _recover,
}
