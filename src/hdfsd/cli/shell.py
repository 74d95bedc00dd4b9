"""Adapter. What all shell commands share: paths as typed, globs, errors, recursion, exit codes.

Behaviour, texts and exit codes are those of Hadoop's FsShell (fs.shell.Command, PathData,
CommandFormat, CommandWithDestination), observed on 3.4.1.
"""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from hdfsd.base.errors import HdfsdError, RemoteFault
from hdfsd.cli.filesystems import (
    FileStatus,
    FileSystems,
    HdfsFileSystem,
    LocalFileSystem,
    NotFound,
)
from hdfsd.cli.patterns import (
    component_regex,
    expand_braces_with_slashes,
    has_wildcard,
    is_pattern,
    unescape,
)

AnyFileSystem = HdfsFileSystem | LocalFileSystem
ARGUMENTS_MAX = 1 << 31


class UsageError(HdfsdError):
    """The command line is wrong: the usage is printed and the exit code is 255."""


class PathError(HdfsdError):
    """One path can't be worked on; the command goes on with the next."""

    def __init__(self, path: str, cause: str = "Input/output error", detail: str = "") -> None:
        super().__init__(f"`{path}': {cause}{detail}")


def not_found(path: str, qualified: str | None = None) -> PathError:
    """`qualified` is the whole URI, where FsShell adds it."""
    return PathError(
        path, "No such file or directory", "" if qualified is None else f": `{qualified}'"
    )


@dataclass(slots=True)
class Item:
    """A path as typed, where it lies, and what is there (None: nothing)."""

    filesystem: AnyFileSystem
    text: str
    path: str
    status: FileStatus | None

    @property
    def exists(self) -> bool:
        return self.status is not None

    @property
    def is_directory(self) -> bool:
        return self.status is not None and self.status.is_directory

    @property
    def uri(self) -> str:
        return self.filesystem.uri.removesuffix("/") + self.path

    def need(self) -> FileStatus:
        """The status. Raises PathError when nothing is there."""
        if self.status is None:
            raise not_found(self.text)
        return self.status

    def refresh(self) -> None:
        """Looks again what is there."""
        self.status = status_or_none(self.filesystem, self.path)

    def child(self, status_or_name: FileStatus | str) -> Item:
        """An entry of this directory, written as this path is written."""
        known = None if isinstance(status_or_name, str) else status_or_name
        name = status_or_name if isinstance(status_or_name, str) else status_or_name.name
        if self.text == ".":
            text = name
        else:
            text = f"{self.text}{'' if self.text.endswith('/') else '/'}{name}"
        path = posixpath.join(self.path, name)
        if known is None:
            known = status_or_none(self.filesystem, path)
        return Item(self.filesystem, text, path, known)

    def children(self) -> list[Item]:
        """The entries of this directory, sorted by name."""
        return [self.child(status) for status in self.filesystem.children(self.path)]

    def sibling(self, suffix: str) -> Item:
        """The same path with something appended to its name."""
        path = self.path + suffix
        return Item(
            self.filesystem, self.text + suffix, path, status_or_none(self.filesystem, path)
        )

    def parent_exists(self) -> bool:
        """PathData.parentExists: for `a/`, `.` and `..` the path itself is meant."""
        name = urlsplit(self.text).path.rpartition("/")[2]
        path = self.path if name in ("", ".", "..") else posixpath.dirname(self.path)
        return status_or_none(self.filesystem, path) is not None


def status_or_none(filesystem: AnyFileSystem, path: str) -> FileStatus | None:
    """What is at a path, or None."""
    try:
        return filesystem.status(path)
    except NotFound:
        return None


def has_scheme(text: str) -> bool:
    """`hdfs://ns/a` and `file:/a` have one, `a:b` and `/a` have none (PathData.stringToUri)."""
    colon = text.find(":")
    return colon > 0 and text.find("/") == colon + 1


def absolute(filesystem: AnyFileSystem, text: str) -> str:
    """The path of a typed text within its file system, `.` and `..` resolved."""
    path = urlsplit(text).path if has_scheme(text) else text
    joined = posixpath.normpath(posixpath.join(filesystem.home, path))
    return "/" + joined.lstrip("/")


def item_at(filesystems: FileSystems, text: str, *, local: bool = False) -> Item:
    """A path without globbing; `local`: text without a scheme means this machine's files."""
    if not text:
        raise UsageError("Can not create a Path from an empty string")
    filesystem = filesystems.local() if local and not has_scheme(text) else filesystems.of(text)
    path = absolute(filesystem, text)
    return Item(filesystem, text, path, status_or_none(filesystem, path))


def expand(filesystems: FileSystems, text: str) -> list[Item]:
    """The items that a typed path or pattern means; a missing plain path is one without status."""
    if not text:
        raise UsageError("Can not create a Path from an empty string")
    filesystem = filesystems.of(text)
    if not is_pattern(text):
        path = absolute(filesystem, text)
        status = status_or_none(filesystem, path)
        if status is None:
            return [Item(filesystem, text, path, None)]
        return [Item(filesystem, _as_typed(filesystem, text, path), path, status)]
    found = {
        status.path: status
        for pattern in expand_braces_with_slashes(text)
        for status in _matches(filesystem, absolute(filesystem, pattern))
    }
    if not found and not has_wildcard(text):
        return [Item(filesystem, text, absolute(filesystem, unescape(text)), None)]
    return [
        Item(filesystem, _as_typed(filesystem, text, path), path, found[path])
        for path in sorted(found)
    ]


def _matches(filesystem: AnyFileSystem, pattern: str) -> Iterable[FileStatus]:
    root = status_or_none(filesystem, "/")
    candidates = [] if root is None else [root]
    for component in pattern.strip("/").split("/"):
        found: list[FileStatus] = []
        for directory in candidates:
            if not directory.is_directory:
                continue
            if has_wildcard(component):
                regex = component_regex(component)
                children = filesystem.children(directory.path)
                found += [child for child in children if regex.fullmatch(child.name)]
            else:
                path = posixpath.join(directory.path, unescape(component))
                status = status_or_none(filesystem, path)
                found += [] if status is None else [status]
        candidates = found
    return candidates


def _as_typed(filesystem: AnyFileSystem, text: str, path: str) -> str:
    # PathData.expandAsGlob: a match is shown with a scheme, absolute or relative, like the pattern.
    if has_scheme(text):
        parts = urlsplit(text)
        return f"{parts.scheme}://{parts.netloc}{path}"
    if text.startswith("/"):
        return path
    return posixpath.relpath(path, filesystem.home)


@dataclass(frozen=True, slots=True)
class Options:
    """What a command line says after its options were taken out."""

    flags: frozenset[str]
    arguments: list[str]

    def __contains__(self, flag: str) -> bool:
        return flag in self.flags


def parse_options(
    words: Sequence[str], known: Iterable[str], least: int, most: int = ARGUMENTS_MAX
) -> Options:
    """CommandFormat.parse: options come first, `--` or `-` ends them. Raises UsageError."""
    rest, flags = list(words), set()
    names = frozenset(known)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        if word[1:] not in names:
            raise UsageError(f"Illegal option {word}")
        flags.add(word[1:])
    if len(rest) < least:
        raise UsageError(f"Not enough arguments: expected {least} but got {len(rest)}")
    if len(rest) > most:
        raise UsageError(f"Too many arguments: expected {most} but got {len(rest)}")
    return Options(frozenset(flags), rest)


class Command:
    """One run of one shell command. Subclasses say what happens to each path."""

    USAGE: ClassVar[str]
    """What follows the command's name in its usage line."""

    def __init__(self, name: str, filesystems: FileSystems) -> None:
        self.name = name
        self.filesystems = filesystems
        self.recursive = False
        self.depth = 0
        self.error_count = 0
        self.exit_code = 0

    def run(self, words: Sequence[str]) -> int:
        """The exit code: 0, or 1 when any path failed. Raises UsageError."""
        try:
            arguments = self.options(words)
            self.process_arguments(self.expand_all(arguments))
        except UsageError:
            raise
        except (HdfsdError, OSError) as error:
            self.report(error)
        return self.exit_code if self.error_count == 0 else 1

    def options(self, words: Sequence[str]) -> list[str]:
        """Takes the options; returns the arguments that name paths."""
        raise NotImplementedError

    def expand_all(self, arguments: Sequence[str]) -> list[Item]:
        """The items of all arguments; what can't be expanded is reported and left out."""
        items: list[Item] = []
        for argument in arguments:
            try:
                items += self.expand_argument(argument)
            except UsageError:
                raise
            except (HdfsdError, OSError) as error:
                self.report(error)
        return items

    def expand_argument(self, argument: str) -> list[Item]:
        """The items that one argument means; at least one, or PathError."""
        items = expand(self.filesystems, argument)
        if not items:
            raise not_found(argument)
        return items

    def process_arguments(self, items: Sequence[Item]) -> None:
        """All items, each with its errors reported apart."""
        for item in items:
            try:
                if item.exists:
                    self.process_path_argument(item)
                else:
                    self.process_missing(item)
            except UsageError:
                raise
            except (HdfsdError, OSError) as error:
                self.report(error)

    def process_path_argument(self, item: Item) -> None:
        """One item of the command line that exists."""
        self.depth = 0
        self.process_items(None, [item])

    def process_missing(self, item: Item) -> None:
        """One item of the command line that does not exist: an error, unless it is to be made."""
        raise not_found(item.text)

    def process_items(self, parent: Item | None, items: Sequence[Item]) -> None:
        """Items of one directory (`parent`), or one of the command line."""
        for item in items:
            try:
                self.process(item)
                if self.recursive and item.is_directory:
                    self.descend(item)
                self.process_after(item)
            except UsageError:
                raise
            except (HdfsdError, OSError) as error:
                self.report(error)

    def process(self, item: Item) -> None:
        """The work itself, once per item."""
        raise NotImplementedError

    def process_after(self, item: Item) -> None:
        """After an item's children were worked on."""

    def descend(self, item: Item) -> None:
        """The children of a directory."""
        if not item.is_directory:
            raise PathError(item.text, "Is not a directory")
        self.depth += 1
        try:
            self.process_items(item, item.children())
        finally:
            self.depth -= 1

    def report(self, error: Exception) -> None:
        """One line on standard error; counts towards the exit code."""
        self.error_count += 1
        self.warn(message_of(error))

    def warn(self, message: str) -> None:
        """One line on standard error."""
        sys.stdout.flush()
        print(f"{self.name}: {message}", file=sys.stderr)


def message_of(error: Exception) -> str:
    """What FsShell prints of an exception: the first line of its message, without its class."""
    if isinstance(error, RemoteFault):
        return error.message.split("\n", 1)[0]
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return str(error)


def table_lines(rows: Sequence[Sequence[str]], right_aligned: frozenset[int]) -> list[str]:
    """Columns two blanks apart, the last one unpadded (FsUsage.TableBuilder)."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in right_aligned else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        if len(row) - 1 not in right_aligned:
            cells[-1] = row[-1]
        lines.append("  ".join(cells))
    return lines
