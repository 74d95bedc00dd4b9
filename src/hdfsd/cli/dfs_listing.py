"""Adapter. Shell commands that only look: ls, stat, du, df, count, cat, test."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from hdfsd.base.errors import RemoteFault
from hdfsd.base.units import human_size
from hdfsd.cli.filesystems import ContentSummary, FileStatus, HdfsFileSystem
from hdfsd.cli.patterns import permission_text
from hdfsd.cli.shell import Command, Item, PathError, UsageError, parse_options, table_lines


def size_text(size: int, human: bool) -> str:
    """A number, or `1.5 K`."""
    return human_size(size) if human else str(size)


class Ls(Command):
    USAGE = "[-C] [-d] [-h] [-q] [-R] [-t] [-S] [-r] [-u] [<path> ...]"

    def options(self, words: Sequence[str]) -> list[str]:
        self.chosen = parse_options(words, ("C", "d", "h", "q", "R", "t", "S", "r", "u"), 0)
        self.recursive = "R" in self.chosen and "d" not in self.chosen
        # Widths only grow, as in Hadoop: later directories line up with earlier ones.
        self.widths = [3, 0, 0, 10]
        return self.chosen.arguments or ["."]

    def process_path_argument(self, item: Item) -> None:
        if item.is_directory and "d" not in self.chosen:
            self.descend(item)
        else:
            super().process_path_argument(item)

    def process_items(self, parent: Item | None, items: Sequence[Item]) -> None:
        if parent is not None and not self.recursive and items:
            if "C" not in self.chosen:
                print(f"Found {len(items)} items")
            items = self._sorted(items)
        if "C" not in self.chosen:
            self._widen([item.need() for item in items])
        super().process_items(parent, items)

    def _sorted(self, items: Sequence[Item]) -> list[Item]:
        reverse = "r" in self.chosen
        if "t" in self.chosen:
            return sorted(items, key=lambda i: self._time_ms(i.need()), reverse=not reverse)
        if "S" in self.chosen:
            return sorted(items, key=lambda i: i.need().length, reverse=not reverse)
        return sorted(items, key=lambda i: i.path, reverse=reverse)

    def _time_ms(self, status: FileStatus) -> int:
        return status.accessed_ms if "u" in self.chosen else status.modified_ms

    def _widen(self, statuses: Sequence[FileStatus]) -> None:
        for status in statuses:
            columns = (status.replication, status.owner, status.group, status.length)
            for index, value in enumerate(columns):
                self.widths[index] = max(self.widths[index], len(str(value)))

    def process(self, item: Item) -> None:
        name = item.text
        if "q" in self.chosen:
            name = "".join(c if c.isprintable() else "?" for c in name)
        if "C" in self.chosen:
            print(name)
            return
        status = item.need()
        replication, owner, group, length = self.widths
        when = datetime.fromtimestamp(self._time_ms(status) / 1000).strftime("%Y-%m-%d %H:%M")
        columns = [
            f"{'d' if status.is_directory else '-'}{permission_text(status.mode)}"
            f"{'+' if status.has_acl else ' '}"
            f"{'-' if status.is_directory else status.replication:>{replication}}",
            # A column that is empty in every line is left out, as of `.snapshot` itself.
            *([status.owner.ljust(owner)] if owner else []),
            *([status.group.ljust(group)] if group else []),
            size_text(status.length, "h" in self.chosen).rjust(length),
            when,
            name,
        ]
        print(" ".join(columns))


class Stat(Command):
    USAGE = "[format] <path> ..."

    def options(self, words: Sequence[str]) -> list[str]:
        arguments = parse_options(words, (), 1).arguments
        self.format = arguments.pop(0) if "%" in arguments[0] else "%y"
        return arguments

    def process(self, item: Item) -> None:
        status = item.need()
        out, characters = [], iter(self.format)
        for character in characters:
            if character != "%":
                out.append(character)
                continue
            directive = next(characters, None)
            if directive is None:
                break  # A lone % at the end is not printed.
            out.append(self._field(directive, status))
        print("".join(out))

    @staticmethod
    def _field(directive: str, status: FileStatus) -> str:
        kind = "directory" if status.is_directory else "regular file"
        fields = {
            "a": f"{status.mode:o}",
            "A": permission_text(status.mode),
            "b": str(status.length),
            "F": kind,
            "g": status.group,
            "n": status.name,
            "o": str(status.block_size),
            "r": str(status.replication),
            "u": status.owner,
            "x": _utc(status.accessed_ms),
            "X": str(status.accessed_ms),
            "y": _utc(status.modified_ms),
            "Y": str(status.modified_ms),
        }
        return fields.get(directive, directive)


def _utc(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


class Du(Command):
    USAGE = "[-s] [-h] [-v] [-x] <path> ..."

    def options(self, words: Sequence[str]) -> list[str]:
        self.chosen = parse_options(words, ("s", "h", "v", "x"), 0)
        header = ("SIZE", "DISK_SPACE_CONSUMED_WITH_ALL_REPLICAS", "FULL_PATH_NAME")
        self.rows: list[Sequence[str]] = [header] if "v" in self.chosen else []
        return self.chosen.arguments or ["."]

    def process_arguments(self, items: Sequence[Item]) -> None:
        heads = len(self.rows)
        super().process_arguments(items)
        if len(self.rows) > heads:
            print("\n".join(table_lines(self.rows, frozenset())))

    def process_path_argument(self, item: Item) -> None:
        if item.is_directory and "s" not in self.chosen:
            self.descend(item)
        else:
            super().process_path_argument(item)

    def process(self, item: Item) -> None:
        summary = item.filesystem.content_summary(item.path)
        length, consumed = summary.length, summary.space_consumed
        if "x" in self.chosen:
            length -= summary.snapshot_length
            consumed -= summary.snapshot_space_consumed
        human = "h" in self.chosen
        self.rows.append((size_text(length, human), size_text(consumed, human), item.text))


class Df(Command):
    USAGE = "[-h] [<path> ...]"

    def options(self, words: Sequence[str]) -> list[str]:
        self.chosen = parse_options(words, ("h",), 0)
        self.rows = [("Filesystem", "Size", "Used", "Available", "Use%")]
        return self.chosen.arguments or ["/"]

    def process_arguments(self, items: Sequence[Item]) -> None:
        super().process_arguments(items)
        if len(self.rows) > 1:
            print("\n".join(table_lines(self.rows, frozenset((1, 2, 3, 4)))))

    def process(self, item: Item) -> None:
        found = item.filesystem.capacity()
        human = "h" in self.chosen
        # StringUtils.formatPercent; Java prints NaN for a cluster without DataNodes.
        share = f"{found.used / found.total * 100:.0f}%" if found.total else "NaN"
        sizes = (size_text(size, human) for size in (found.total, found.used, found.remaining))
        total, used, remaining = sizes
        self.rows.append((item.filesystem.uri, total, used, remaining, share))


class Count(Command):
    USAGE = "[-q] [-h] [-v] [-x] <path> ..."

    def options(self, words: Sequence[str]) -> list[str]:
        self.chosen = parse_options(words, ("q", "h", "v", "x"), 1)
        self.without_snapshots = "x" in self.chosen
        if self.without_snapshots and "q" in self.chosen:
            print("q or u option is given, the -x option is ignored.")
            self.without_snapshots = False
        if "v" in self.chosen:
            header = f"{'DIR_COUNT':>12} {'FILE_COUNT':>12} {'CONTENT_SIZE':>18} PATHNAME"
            quotas = ("QUOTA", "REM_QUOTA", "SPACE_QUOTA", "REM_SPACE_QUOTA")
            print((_quota_columns(quotas) if "q" in self.chosen else "") + header)
        return self.chosen.arguments

    def process(self, item: Item) -> None:
        summary = item.filesystem.content_summary(item.path)
        directories, files, length = (
            summary.directory_count,
            summary.file_count,
            summary.length,
        )
        if self.without_snapshots:
            directories -= summary.snapshot_directory_count
            files -= summary.snapshot_file_count
            length -= summary.snapshot_length
        human = "h" in self.chosen
        counts = [size_text(number, human) for number in (directories, files, length)]
        quotas = _quota_columns(_quotas(summary, human)) if "q" in self.chosen else ""
        print(f"{quotas}{counts[0]:>12} {counts[1]:>12} {counts[2]:>18} {item.text}")


def _quota_columns(columns: Sequence[str]) -> str:
    return f"{columns[0]:>12} {columns[1]:>15} {columns[2]:>15} {columns[3]:>15} "


def _quotas(summary: ContentSummary, human: bool) -> list[str]:
    names = space = ["none", "inf"]
    if summary.quota > 0:
        left = summary.quota - summary.file_count - summary.directory_count
        names = [size_text(summary.quota, human), size_text(left, human)]
    if summary.space_quota >= 0:
        left = summary.space_quota - summary.space_consumed
        space = [size_text(summary.space_quota, human), size_text(left, human)]
    return names + space


class Cat(Command):
    USAGE = "[-ignoreCrc] <src> ..."

    def options(self, words: Sequence[str]) -> list[str]:
        return parse_options(words, ("ignoreCrc",), 1).arguments

    def process(self, item: Item) -> None:
        if item.is_directory:
            raise PathError(item.text, "Is a directory")
        sys.stdout.flush()
        for chunk in item.filesystem.read(item.path):
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


class Test(Command):
    USAGE = "-[defswrz] <path>"

    def options(self, words: Sequence[str]) -> list[str]:
        chosen = parse_options(words, ("e", "d", "f", "s", "z", "w", "r"), 1, 1)
        if not chosen.flags:
            raise UsageError("No test flag given")
        if len(chosen.flags) > 1:
            raise UsageError("Only one test flag is allowed")
        (self.flag,) = chosen.flags
        return chosen.arguments

    def process_missing(self, item: Item) -> None:
        self.exit_code = 1

    def process(self, item: Item) -> None:
        if not self._holds(item, item.need()):
            self.exit_code = 1

    def _holds(self, item: Item, status: FileStatus) -> bool:
        if self.flag in "wr":
            return _may(item, self.flag)
        return {
            "e": True,
            "d": status.is_directory,
            "f": not status.is_directory,
            "s": status.length > 0,
            "z": status.length == 0,
        }[self.flag]


def _may(item: Item, flag: str) -> bool:
    if not isinstance(item.filesystem, HdfsFileSystem):
        return os.access(item.path, os.R_OK if flag == "r" else os.W_OK)
    try:
        item.filesystem.check_access(item.path, "READ" if flag == "r" else "WRITE")
    except RemoteFault as error:
        if error.wire_class.endswith("AccessControlException"):
            return False
        raise
    return True
