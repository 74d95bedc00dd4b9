"""Adapter. Shell commands on snapshots: create, delete, rename (fs.shell.SnapshotCommands)."""

from __future__ import annotations

from collections.abc import Sequence

from hdfsd.base.errors import HdfsdError
from hdfsd.cli.filesystems import HdfsFileSystem
from hdfsd.cli.shell import Command, Item, PathError, UsageError
from hdfsd.cli.snapshots import Snapshots

WRONG_COUNT = "Incorrect number of arguments."


class SnapshotCommand(Command):
    """One directory; the rest of the words are names. There are no options."""

    def process(self, item: Item) -> None:
        if not item.is_directory:
            raise PathError(item.text, "Is not a directory")

    def process_arguments(self, items: Sequence[Item]) -> None:
        super().process_arguments(items)
        if self.error_count == 0:
            # A pattern may mean several: the first is taken.
            self.change(items[0], _snapshots_of(items[0]))

    def change(self, item: Item, snapshots: Snapshots) -> None:
        """The work itself."""
        raise NotImplementedError


def _snapshots_of(item: Item) -> Snapshots:
    if not isinstance(item.filesystem, HdfsFileSystem):
        raise HdfsdError(f"{item.uri}: files of this machine have no snapshots")
    return item.filesystem.snapshots


class CreateSnapshot(SnapshotCommand):
    USAGE = "<snapshotDir> [<snapshotName>]"

    def options(self, words: Sequence[str]) -> list[str]:
        if not words:
            raise UsageError("<snapshotDir> is missing.")
        if len(words) > 2:
            raise UsageError("Too many arguments.")
        self.snapshot = words[1] if len(words) == 2 else None
        return [words[0]]

    def change(self, item: Item, snapshots: Snapshots) -> None:
        print(f"Created snapshot {snapshots.create(item.path, self.snapshot)}")


class DeleteSnapshot(SnapshotCommand):
    USAGE = "<snapshotDir> <snapshotName>"

    def options(self, words: Sequence[str]) -> list[str]:
        if len(words) != 2:
            raise UsageError(WRONG_COUNT)
        directory, self.snapshot = words
        return [directory]

    def change(self, item: Item, snapshots: Snapshots) -> None:
        snapshots.delete(item.path, self.snapshot)
        print(f"Deleted snapshot {self.snapshot} under {item.uri}")


class RenameSnapshot(SnapshotCommand):
    USAGE = "<snapshotDir> <oldName> <newName>"

    def options(self, words: Sequence[str]) -> list[str]:
        if len(words) != 3:
            raise UsageError(WRONG_COUNT)
        directory, self.old, self.new = words
        return [directory]

    def change(self, item: Item, snapshots: Snapshots) -> None:
        snapshots.rename(item.path, self.old, self.new)
        print(f"Renamed snapshot {self.old} to {self.new} under {item.uri}")
