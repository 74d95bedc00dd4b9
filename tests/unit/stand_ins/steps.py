"""Work in steps, done at once."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def finished(work: Generator[None, None, T]) -> T:
    """What it gives in the end."""
    return counted(work)[0]


def counted(work: Generator[None, None, T]) -> tuple[T, int]:
    """What it gives in the end, and how often it paused."""
    pauses = 0
    while True:
        try:
            next(work)
        except StopIteration as done:
            value: T = done.value
            return value, pauses
        pauses += 1
