"""Core. Who led when, and in which epoch: from what the NameNodes logged."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) [A-Z]+ hdfsd\.([\w.]+): (.*)")
EPOCH = re.compile(r"epoch (\d+) established")
ACTIVE = re.compile(r"\w+ → active in ")
PASSIVE = re.compile(r"active → \w+ in ")


@dataclass(frozen=True, slots=True)
class Stint:
    """From an epoch that a NameNode was given until it certainly did not lead any more."""

    namenode: str
    epoch: int
    claimed_s: float
    """When it knew that the epoch is its own."""
    active_s: float = math.inf
    """When it began to serve; infinite when it never did."""
    ended_s: float = math.inf

    def overlaps(self, began_s: float, ended_s: float) -> bool:
        return self.active_s <= ended_s and began_s <= self.ended_s


def stints_of(namenode: str, lines: Iterable[str], ends_s: Sequence[float]) -> list[Stint]:
    """`ends_s`: when its processes ended; the log is of all of them, one after the other."""
    found: list[Stint] = []
    for at_s, text in _events(lines):
        if match := EPOCH.match(text):
            found.append(Stint(namenode, int(match[1]), at_s))
        elif found and ACTIVE.match(text):
            found[-1] = _with(found[-1], active_s=at_s)
        elif found and PASSIVE.match(text) and math.isinf(found[-1].ended_s):
            found[-1] = _with(found[-1], ended_s=at_s)
    return [_ended(stint, ends_s) for stint in found]


def _with(stint: Stint, *, active_s: float | None = None, ended_s: float | None = None) -> Stint:
    return Stint(
        stint.namenode,
        stint.epoch,
        stint.claimed_s,
        stint.active_s if active_s is None else active_s,
        stint.ended_s if ended_s is None else ended_s,
    )


def _ended(stint: Stint, ends_s: Sequence[float]) -> Stint:
    death = min((end for end in ends_s if end >= stint.claimed_s), default=math.inf)
    return _with(stint, ended_s=min(death, stint.ended_s))


def _events(lines: Iterable[str]) -> Iterator[tuple[float, str]]:
    for line in lines:
        if (match := LINE.match(line)) and match[3] in ("quorum.manager", "namenode.lifecycle"):
            moment = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
            yield moment.timestamp() + int(match[2]) / 1000, match[4]


class Reign:
    """All stints, in the order of their epochs."""

    def __init__(self, stints: Iterable[Stint]) -> None:
        self.stints = sorted(stints, key=lambda stint: (stint.epoch, stint.claimed_s))

    def replaced_s(self, stint: Stint) -> float:
        """When the next epoch was somebody's: what this one knows may be old from then on."""
        later = (other.claimed_s for other in self.stints if other.epoch > stint.epoch)
        return min(later, default=math.inf)

    def fresh_until_s(self, namenode: str, began_s: float, ended_s: float) -> float:
        """The answer of a call is from a state that is at least as new as this moment, or as the
        beginning of the call: later it may come from one who was replaced and does not know it
        yet. `namenode`: "" where nobody knows who answered."""
        who = [s for s in self.stints if s.namenode == namenode or not namenode]
        replaced = [self.replaced_s(s) for s in who if s.overlaps(began_s, ended_s)]
        return min([began_s, *(at_s for at_s in replaced if at_s < ended_s)])

    def led_only_before(self, namenode: str, began_s: float, ended_s: float) -> Stint | None:
        """The stint in which it answered, when another one led before the call began."""
        who = [s for s in self.stints if s.namenode == namenode and s.overlaps(began_s, ended_s)]
        if not who:
            return None
        newest = who[-1]
        successors = (s.active_s for s in self.stints if s.epoch > newest.epoch)
        return newest if min(successors, default=math.inf) < began_s else None
