"""Adapter. Shell commands that change the tree: mkdir, mv, rm, chmod, chown, setrep, touchz."""

from __future__ import annotations

import posixpath
import re
import sys
import time
from collections.abc import Sequence
from datetime import datetime

from hdfsd.base.errors import HdfsdError
from hdfsd.cli.dfs_copying import CommandWithDestination
from hdfsd.cli.patterns import ModeChange, PatternError
from hdfsd.cli.shell import (
    Command,
    Item,
    PathError,
    UsageError,
    expand,
    message_of,
    not_found,
    parse_options,
    status_or_none,
)

TRASH_PERMISSION = 0o700
_NAME = r"[-_./@a-zA-Z0-9]"
_OWNER_AND_GROUP = re.compile(rf"\s*({_NAME}+)?(:({_NAME}*))?\s*")
_GROUP = re.compile(rf"\s*({_NAME}+)\s*")


class Mkdir(Command):
    USAGE = "[-p] <path> ..."

    def options(self, words: Sequence[str]) -> list[str]:
        chosen = parse_options(words, ("p",), 1)
        self.with_parents = "p" in chosen
        return chosen.arguments

    def process(self, item: Item) -> None:
        if not item.is_directory:
            raise PathError(item.text, "Is not a directory")
        if not self.with_parents:
            raise PathError(item.text, "File exists")

    def process_missing(self, item: Item) -> None:
        if not self.with_parents:
            parent = posixpath.dirname(item.path)
            if status_or_none(item.filesystem, parent) is None:
                raise not_found(item.filesystem.uri.removesuffix("/") + parent)
        # Hadoop asks for all parents in any case: the check above is the shell's own.
        item.filesystem.make_directory(item.path, 0o777, True)


class Mv(CommandWithDestination):
    USAGE = "<src> ... <dst>"

    def options(self, words: Sequence[str]) -> list[str]:
        arguments = parse_options(words, (), 2).arguments
        self.take_remote_destination(arguments)
        return arguments

    def process_to(self, source: Item, target: Item) -> None:
        if source.filesystem is not target.filesystem:
            raise PathError(source.text, "Does not match target filesystem")
        if target.exists and not target.is_directory:
            raise PathError(target.text, "File exists")
        if not source.filesystem.rename(source.path, target.path):
            raise PathError(source.text)


class Rm(Command):
    USAGE = "[-f] [-r|-R] [-skipTrash] <src> ..."

    def options(self, words: Sequence[str]) -> list[str]:
        self.chosen = parse_options(words, ("f", "r", "R", "skipTrash"), 1)
        self.with_directories = "r" in self.chosen or "R" in self.chosen
        return self.chosen.arguments

    def expand_argument(self, argument: str) -> list[Item]:
        items = expand(self.filesystems, argument)
        if not items and "f" not in self.chosen:
            raise not_found(argument)
        return items

    def process_missing(self, item: Item) -> None:
        if "f" not in self.chosen:
            super().process_missing(item)

    def process(self, item: Item) -> None:
        if item.is_directory and not self.with_directories:
            raise PathError(item.text, "Is a directory")
        if "skipTrash" not in self.chosen and move_to_trash(item):
            return
        if not item.filesystem.delete(item.path, self.with_directories):
            raise PathError(item.text)
        print(f"Deleted {item.text}")


def move_to_trash(item: Item) -> bool:
    """Whether the item went to the user's trash; False when there is none, or it lies there."""
    filesystem = item.filesystem
    if filesystem.trash_interval_min() <= 0:
        return False
    trash = f"{filesystem.home}/.Trash"
    if item.path == trash or item.path.startswith(f"{trash}/"):
        return False
    if item.path == "/" or trash.startswith(f"{item.path}/"):
        raise HdfsdError(
            f'Cannot move "{item.uri}" to the trash, as it contains the trash.'
            " Consider using -skipTrash option"
        )
    target = f"{trash}/Current{item.path}"
    filesystem.make_directory(posixpath.dirname(target), TRASH_PERMISSION, True)
    if status_or_none(filesystem, target) is not None:
        target += str(time.time_ns() // 1_000_000)
    if not filesystem.rename(item.path, target):
        raise HdfsdError("Failed to move to trash. Consider using -skipTrash option")
    when = datetime.now().strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
    uri = filesystem.uri.removesuffix("/")
    print(
        f"{when} INFO fs.TrashPolicyDefault: Moved: '{uri}{item.path}' to trash at: {uri}{target}",
        file=sys.stderr,
    )
    return True


class Rmdir(Command):
    USAGE = "[--ignore-fail-on-non-empty] <dir> ..."

    def options(self, words: Sequence[str]) -> list[str]:
        chosen = parse_options(words, ("-ignore-fail-on-non-empty",), 1)
        self.let_full_ones_be = "-ignore-fail-on-non-empty" in chosen
        return chosen.arguments

    def process(self, item: Item) -> None:
        if not item.is_directory:
            raise PathError(item.text, "Is not a directory")
        if item.children():
            if not self.let_full_ones_be:
                raise PathError(item.text, "Directory is not empty")
        elif not item.filesystem.delete(item.path, False):
            raise PathError(item.text)


class Chmod(Command):
    USAGE = "[-R] <MODE[,MODE]... | OCTALMODE> PATH..."

    def options(self, words: Sequence[str]) -> list[str]:
        chosen = parse_options(_modes_are_no_options(words), ("R",), 2)
        self.recursive = "R" in chosen
        try:
            self.change = ModeChange.parse(chosen.arguments[0])
        except PatternError as error:
            raise UsageError(f"chmod : {error}") from error
        return chosen.arguments[1:]

    def process(self, item: Item) -> None:
        status = item.need()
        mode = self.change.apply(status.mode, status.is_directory)
        if mode == status.mode:
            return
        try:
            item.filesystem.set_mode(item.path, mode)
        except HdfsdError as error:
            raise HdfsdError(
                f"changing permissions of '{item.text}': {message_of(error)}"
            ) from error


def _modes_are_no_options(words: Sequence[str]) -> list[str]:
    # CommandFormat of chmod ignores options it does not know: `-chmod -w PATH` takes -w as mode.
    for index, word in enumerate(words):
        if word != "-R":
            return [*words[:index], "--", *words[index:]] if word != "--" else list(words)
    return list(words)


class Chown(Command):
    USAGE = "[-R] [OWNER][:[GROUP]] PATH..."

    def options(self, words: Sequence[str]) -> list[str]:
        chosen = parse_options(words, ("R",), 2)
        self.recursive = "R" in chosen
        self.owner, self.group = self.parse_target(chosen.arguments[0])
        return chosen.arguments[1:]

    def parse_target(self, text: str) -> tuple[str | None, str | None]:
        """(owner, group) of `owner:group`; None is to stay as it is."""
        match = _OWNER_AND_GROUP.fullmatch(text)
        if match is None:
            raise UsageError(f"'{text}' does not match expected pattern for [owner][:group].")
        owner, group = match[1], match[3] or None
        if owner is None and group is None:
            raise UsageError(f"'{text}' does not specify owner or group.")
        return owner, group

    def process(self, item: Item) -> None:
        status = item.need()
        owner = None if self.owner == status.owner else self.owner
        group = None if self.group == status.group else self.group
        if owner is None and group is None:
            return
        try:
            item.filesystem.set_owner(item.path, owner, group)
        except HdfsdError as error:
            raise HdfsdError(f"changing ownership of '{item.text}': {message_of(error)}") from error


class Chgrp(Chown):
    USAGE = "[-R] GROUP PATH..."

    def parse_target(self, text: str) -> tuple[str | None, str | None]:
        match = _GROUP.fullmatch(text)
        if match is None:
            raise UsageError(f"'{text}' does not match expected pattern for group")
        return None, match[1]


class Setrep(Command):
    USAGE = "[-R] [-w] <rep> <path> ..."

    def options(self, words: Sequence[str]) -> list[str]:
        chosen = parse_options(words, ("R", "w"), 2)
        # Directories are always gone through; -R is accepted for the sake of old scripts.
        self.recursive = True
        self.wait = "w" in chosen
        self.changed: list[Item] = []
        text = chosen.arguments[0]
        try:
            self.replication = int(text)
        except ValueError:
            self.warn("Illegal replication, a positive integer expected")
            raise UsageError(f'For input string: "{text}"') from None
        if self.replication < 1:
            raise UsageError("replication must be >= 1")
        return chosen.arguments[1:]

    def process_arguments(self, items: Sequence[Item]) -> None:
        super().process_arguments(items)
        if self.wait:
            for item in self.changed:
                self._wait_for(item)

    def process(self, item: Item) -> None:
        status = item.need()
        if status.is_directory:
            return
        if status.erasure_coding:
            print(f"Did not set replication for: {item.text}, because it's an erasure coded file.")
            return
        if not item.filesystem.set_replication(item.path, self.replication):
            raise HdfsdError(f"Could not set replication for: {item.text}")
        print(f"Replication {self.replication} set: {item.text}")
        self.changed.append(item)

    def _wait_for(self, item: Item) -> None:
        print(f"Waiting for {item.text} ...", end="", flush=True)
        dotted = False
        while any(count != self.replication for count in item.filesystem.block_hosts(item.path)):
            print("." if dotted else " .", end="", flush=True)
            dotted = True
            time.sleep(10 if dotted else 1)
        print(" done")


class Touchz(Command):
    USAGE = "<path> ..."

    def options(self, words: Sequence[str]) -> list[str]:
        return parse_options(words, (), 1).arguments

    def process(self, item: Item) -> None:
        if item.is_directory:
            raise PathError(item.text, "Is a directory")
        if item.need().length:
            raise PathError(item.text, "Not a zero-length file")
        self._make(item)

    def process_missing(self, item: Item) -> None:
        if not item.parent_exists():
            raise not_found(item.text, item.uri)
        self._make(item)

    @staticmethod
    def _make(item: Item) -> None:
        item.filesystem.write(item.path, iter(()), True)
