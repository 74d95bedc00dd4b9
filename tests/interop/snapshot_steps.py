"""Core. Random steps of a namespace with snapshots, drawn from a seed and from what is there.

Paths begin with `@`, the directory of the walk. What is drawn mostly makes sense; some of it must
be refused: the refusal is part of what is compared.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

NAMES = ("a", "b", "c", "d", "e", "f")
SNAPSHOT_NAMES = ("s1", "s2", "s3", "s4", "s5")
OTHER_USER = "alice"
BLOCK_BYTES = 1024
LENGTHS = (0, 1, 100, 1024, 1500, 2048, 2500)
ODD_CHANCE = 0.06
"""Of a path that lies inside a snapshot, or nowhere."""
PATHS_MIN = 6
"""With fewer, most steps make something."""
LONG_AGO_MS = 1_000_000_000_000
"""Explicit times lie around it, far from those of the run."""

T = TypeVar("T")
Argument = str | int | bool


@dataclass(frozen=True, slots=True)
class Step:
    """One request: what, of whom ("" is the superuser), with which arguments."""

    verb: str
    arguments: tuple[Argument, ...]
    user: str = ""

    def __str__(self) -> str:
        who = f"{self.user}: " if self.user else ""
        return f"{who}{self.verb} {' '.join(map(str, self.arguments))}".rstrip()


@dataclass(slots=True)
class Known:
    """What is there, as the reference shows it."""

    directories: list[str] = field(default_factory=lambda: ["@"])
    files: dict[str, int] = field(default_factory=dict)
    """Path → length."""
    snapshots: dict[str, list[str]] = field(default_factory=dict)
    """Of each snapshottable directory."""

    @property
    def paths(self) -> list[str]:
        return [*self.directories, *self.files]


class Chooser:
    """Draws steps; the same seed and the same answers give the same steps."""

    def __init__(self, dice: random.Random, *, renames: bool = True) -> None:
        """`renames`: with them, and then without quotas, which Hadoop counts twice for what was
        renamed while a snapshot showed it."""
        self._dice = dice
        self._known = Known()
        self._verbs: dict[str, tuple[int, Callable[[], tuple[Argument, ...]]]] = {
            "mkdirs": (9, self._mkdirs),
            "create": (14, self._create),
            "append": (8, self._append),
            "truncate": (6, self._truncate),
            "rename": (8, self._rename),
            "rename2": (10, self._rename2),
            "delete": (9, lambda: (self._any(), self._chance(0.8))),
            "setPermission": (4, lambda: (self._any(), self._pick((0o755, 0o700, 0o777, 0o1777)))),
            "setOwner": (4, self._set_owner),
            "setTimes": (4, self._set_times),
            "setReplication": (4, lambda: (self._file(), self._pick((1, 2, 3)))),
            "setStoragePolicy": (2, lambda: (self._any(), self._pick(("HOT", "WARM", "ALL_SSD")))),
            "unsetStoragePolicy": (1, lambda: (self._any(),)),
            "setXAttr": (4, lambda: (self._any(), self._attribute(), self._pick(("v", "w", "")))),
            "removeXAttr": (3, lambda: (self._any(), self._attribute())),
            "modifyAclEntries": (3, lambda: (self._any(), self._acl())),
            "setAcl": (2, lambda: (self._any(), "u::rwx,g::r-x,o::r--," + self._acl())),
            "removeAcl": (1, lambda: (self._any(),)),
            "removeDefaultAcl": (1, lambda: (self._directory(),)),
            "setQuota": (4, self._set_quota),
            "concat": (2, lambda: (self._file(), self._file())),
            "open": (2, lambda: (self._new(),)),
            "close": (3, lambda: (self._file(),)),
            "allowSnapshot": (6, lambda: (self._directory(),)),
            "disallowSnapshot": (4, lambda: (self._snapshottable(),)),
            "createSnapshot": (12, lambda: (self._snapshottable(), self._snapshot_name())),
            "deleteSnapshot": (7, self._one_snapshot),
            "renameSnapshot": (4, lambda: (*self._one_snapshot(), self._snapshot_name())),
        }
        for verb in ("setQuota",) if renames else ("rename", "rename2"):
            del self._verbs[verb]

    def next(self, known: Known) -> Step:
        """One more step."""
        self._known = known
        verb = self._verb()
        user = OTHER_USER if self._chance(0.05) else ""
        return Step(verb, self._verbs[verb][1](), user)

    def _verb(self) -> str:
        # Snapshots of something, before snapshots of nothing.
        if len(self._known.paths) < PATHS_MIN and self._chance(0.7):
            return self._pick(("mkdirs", "create"))
        if not self._known.snapshots and self._chance(0.3):
            return "allowSnapshot"
        weights = [weight for weight, _ in self._verbs.values()]
        return self._dice.choices(list(self._verbs), weights)[0]

    def pairs(self, known: Known, count: int) -> list[tuple[str, str, str]]:
        """(directory, from, to) of diff reports; "" is the current state."""
        found = []
        for directory, names in sorted(known.snapshots.items()):
            below = [d for d in known.directories if d.startswith(f"{directory}/")]
            choices = [*names, *names, "", "none"]
            for _ in range(count if names else 0):
                root = self._pick(below) if below and self._chance(0.2) else directory
                found.append((root, self._pick(choices), self._pick(choices)))
        return found

    def sample(self, paths: Sequence[str], count: int) -> list[str]:
        """Some of them."""
        return self._dice.sample(paths, min(count, len(paths)))

    def _chance(self, share: float) -> bool:
        return self._dice.random() < share

    def _pick(self, choices: Sequence[T]) -> T:
        return self._dice.choice(choices)

    # -- paths

    def _odd(self, path: str) -> str:
        """The path, or one inside of a snapshot, or one that is not there."""
        if not self._chance(ODD_CHANCE):
            return path
        taken = [(d, name) for d, names in sorted(self._known.snapshots.items()) for name in names]
        if not taken or self._chance(0.2):
            return self._pick((f"{path}/none", f"{path}/.snapshot", "@/none/none"))
        directory, name = self._pick(taken)
        inside = path.removeprefix(directory) if path.startswith(f"{directory}/") else ""
        return f"{directory}/.snapshot/{name}{inside}"

    def _directory(self) -> str:
        return self._odd(self._pick(self._known.directories))

    def _file(self) -> str:
        files = list(self._known.files)
        return self._odd(self._pick(files)) if files and self._chance(0.95) else self._any()

    def _any(self) -> str:
        return self._odd(self._pick(self._known.paths[1:] or ["@"]))

    def _new(self) -> str:
        # Few names and little depth: what is deleted comes back, which diffs must tell apart.
        shallow = [d for d in self._known.directories if d.count("/") < 4]
        directory = self._odd(self._pick(shallow))
        # Below a directory without snapshots Hadoop makes the directories above such a name before
        # it refuses it; ours makes none.
        return f"{directory.removesuffix('/.snapshot')}/{self._pick(NAMES)}"

    def _snapshottable(self) -> str:
        there = sorted(self._known.snapshots)
        return self._pick(there) if there and self._chance(0.9) else self._directory()

    def _snapshot_name(self) -> str:
        return self._pick((*SNAPSHOT_NAMES, *SNAPSHOT_NAMES, ".snapshot", "x/y"))

    def _one_snapshot(self) -> tuple[str, str]:
        directory = self._snapshottable()
        names = self._known.snapshots.get(directory) or list(SNAPSHOT_NAMES)
        return directory, self._pick(names) if self._chance(0.9) else self._snapshot_name()

    # -- arguments

    def _mkdirs(self) -> tuple[Argument, ...]:
        return self._new(), self._chance(0.5)

    def _create(self) -> tuple[Argument, ...]:
        overwrite = self._chance(0.4)
        path = self._file() if overwrite and self._chance(0.7) else self._new()
        return path, self._pick(LENGTHS), overwrite

    def _append(self) -> tuple[Argument, ...]:
        return self._file(), self._pick(LENGTHS)

    def _truncate(self) -> tuple[Argument, ...]:
        path = self._file()
        length = self._known.files.get(path, BLOCK_BYTES)
        # Inside of a block it takes a recovery, which comes with a heartbeat: seldom.
        if self._chance(0.15):
            return path, self._dice.randrange(length + 2)
        return path, self._pick((0, length, length // BLOCK_BYTES * BLOCK_BYTES, length + 1))

    def _rename(self) -> tuple[Argument, ...]:
        target = self._new() if self._chance(0.7) else self._directory()
        return self._any(), target

    def _rename2(self) -> tuple[Argument, ...]:
        target = self._new() if self._chance(0.6) else self._any()
        return self._any(), target, self._chance(0.5)

    def _set_owner(self) -> tuple[Argument, ...]:
        owner, group = self._pick((("bob", ""), ("", "staff"), ("alice", "users"), ("root", "")))
        return self._any(), owner, group

    def _set_times(self) -> tuple[Argument, ...]:
        stamps = [LONG_AGO_MS + 1000 * self._dice.randrange(100), -1]
        return self._any(), self._pick(stamps), self._pick(stamps)

    def _set_quota(self) -> tuple[Argument, ...]:
        names = self._pick((-1, 5, 8, 30, 1000))
        space = self._pick((-1, 4096, 20_000, 1 << 30))
        return self._directory(), names, space, self._pick(("", "", "", "SSD", "DISK"))

    def _attribute(self) -> str:
        return self._pick(("user.x", "user.y", "trusted.z"))

    def _acl(self) -> str:
        entries = ("u:bob:rw-", "g:staff:r-x", "u:carol:---", "d:u:bob:r-x", "m::r--", "d:o::---")
        return ",".join(sorted(self._dice.sample(entries, self._pick((1, 2)))))
