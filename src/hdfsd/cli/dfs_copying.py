"""Adapter. Shell commands with a destination: put, get and what they share with mv."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from hdfsd.base.errors import HdfsdError
from hdfsd.cli.filesystems import chunks_of
from hdfsd.cli.shell import (
    Command,
    Item,
    PathError,
    expand,
    item_at,
    not_found,
    parse_options,
)

COPYING_SUFFIX = "._COPYING_"


class CommandWithDestination(Command):
    """Sources go into or onto a destination."""

    destination: Item
    overwrite = False
    preserve = False
    direct = False
    """Write to the target itself, without a temporary file beside it."""

    def take_remote_destination(self, arguments: list[str]) -> None:
        """The last argument; alone it is the source, and the destination is the home."""
        if len(arguments) < 2:
            self.destination = item_at(self.filesystems, ".")
            return
        text = arguments.pop()
        items = expand(self.filesystems, text)
        if not items:
            raise not_found(text)
        if len(items) > 1:
            raise PathError(text, "Too many matches")
        self.destination = items[0]

    def take_local_destination(self, arguments: list[str]) -> None:
        """The same on this machine; alone: the current directory."""
        text = "." if len(arguments) < 2 else arguments.pop()
        self.destination = item_at(self.filesystems, text, local=True)

    def process_arguments(self, items: Sequence[Item]) -> None:
        destination = self.destination
        if len(items) > 1:
            if not destination.exists:
                raise not_found(destination.text)
            if not destination.is_directory:
                raise PathError(destination.text, "Is not a directory")
        elif destination.exists:
            if not destination.is_directory and not self.overwrite:
                raise PathError(destination.text, "File exists")
        elif not destination.parent_exists():
            raise not_found(destination.text, destination.uri)
        super().process_arguments(items)

    def process_path_argument(self, item: Item) -> None:
        if item.is_directory and item.filesystem is self.destination.filesystem:
            self._refuse_own_descendant(item)
        super().process_path_argument(item)

    def _refuse_own_descendant(self, item: Item) -> None:
        target = self.target_of(item)
        if target.path == item.path:
            raise HdfsdError(f"`{item.text}' to `{target.uri}': are identical")
        if target.path.startswith(f"{item.path.rstrip('/')}/"):
            raise HdfsdError(f"`{item.text}' to `{target.text}': is a subdirectory of itself")

    def target_of(self, source: Item) -> Item:
        """Where a source goes: a child of the destination when that is (to be) a directory."""
        destination = self.destination
        if self.depth > 0 or destination.is_directory or destination.text.endswith("/"):
            if not destination.exists:
                raise not_found(destination.text)
            if not destination.is_directory:
                raise PathError(destination.text, "Is not a directory")
            name = source.path.rstrip("/").rpartition("/")[2]
            return destination.child(name) if name else destination
        return destination

    def process(self, item: Item) -> None:
        self.process_to(item, self.target_of(item))

    def process_to(self, source: Item, target: Item) -> None:
        """One source onto its target; a directory is gone into afterwards."""
        if source.is_directory:
            if not self.recursive:
                raise PathError(source.text, "Is a directory")
            return
        self.write(source.filesystem.read(source.path), target)
        self.keep_attributes(source, target)

    def descend(self, item: Item) -> None:
        outer = self.destination
        try:
            self.destination = self.target_of(item)
            if not self.destination.exists:
                self.destination.filesystem.make_directory(self.destination.path, 0o777, True)
                self.destination.refresh()
            elif not self.destination.is_directory:
                raise PathError(self.destination.text, "Is not a directory")
            super().descend(item)
            self.keep_attributes(item, self.destination)
        finally:
            self.destination = outer

    def write(self, chunks: Iterator[bytes], target: Item) -> None:
        """The bytes under a temporary name, which becomes the target when all are there."""
        if target.exists and (target.is_directory or not self.overwrite):
            raise PathError(target.text, "File exists")
        if self.direct:
            target.filesystem.write(target.path, chunks, self.overwrite)
            return
        temporary = target.sibling(COPYING_SUFFIX)
        try:
            temporary.filesystem.write(temporary.path, chunks, True)
            if target.exists:
                target.filesystem.delete(target.path, False)
            if not target.filesystem.rename(temporary.path, target.path):
                raise HdfsdError(f"Cannot rename {temporary.text} to {target.text}")
        except BaseException:
            target.filesystem.delete(temporary.path, False)
            raise

    def keep_attributes(self, source: Item, target: Item) -> None:
        """-p: times, owner, group and mode of the source."""
        if not self.preserve:
            return
        status, filesystem = source.need(), target.filesystem
        filesystem.set_times(target.path, status.modified_ms, status.accessed_ms)
        filesystem.set_owner(target.path, status.owner, status.group)
        filesystem.set_mode(target.path, status.mode)


class Cp(CommandWithDestination):
    USAGE = "[-f] [-p] [-d] <src> ... <dst>"

    def options(self, words: Sequence[str]) -> list[str]:
        chosen = parse_options(words, ("f", "p", "d"), 2)
        self.overwrite, self.preserve = "f" in chosen, "p" in chosen
        self.direct, self.recursive = "d" in chosen, True
        self.take_remote_destination(chosen.arguments)
        return chosen.arguments


class Put(CommandWithDestination):
    USAGE = "[-f] [-p] [-d] <localsrc> ... <dst>"

    def options(self, words: Sequence[str]) -> list[str]:
        chosen = parse_options(words, ("f", "p", "d"), 1)
        self.overwrite, self.preserve = "f" in chosen, "p" in chosen
        self.direct, self.recursive = "d" in chosen, True
        self.take_remote_destination(chosen.arguments)
        return chosen.arguments

    def expand_argument(self, argument: str) -> list[Item]:
        # `-` is standard input, and no local path is a pattern.
        if argument == "-":
            return [Item(self.filesystems.local(), "-", "/-", None)]
        return [item_at(self.filesystems, argument, local=True)]

    def process_arguments(self, items: Sequence[Item]) -> None:
        if len(items) == 1 and items[0].text == "-":
            self.write(chunks_of(sys.stdin.buffer), self.target_of(items[0]))
            return
        super().process_arguments(items)


class Get(CommandWithDestination):
    USAGE = "[-f] [-p] <src> ... <localdst>"

    def options(self, words: Sequence[str]) -> list[str]:
        chosen = parse_options(words, ("f", "p"), 1)
        self.overwrite, self.preserve, self.recursive = "f" in chosen, "p" in chosen, True
        self.take_local_destination(chosen.arguments)
        return chosen.arguments
