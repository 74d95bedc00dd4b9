"""Data. Running a command of the operator's: fencing scripts, rack scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

OUTPUT_BYTES_MAX = 1 << 16


@dataclass(frozen=True, slots=True)
class ShellResult:
    exit_code: int
    """-1 when it was killed at its deadline."""
    output: str
    """stdout and stderr together, the first OUTPUT_BYTES_MAX bytes."""


class Shell(Protocol):
    async def run(
        self, command: str, *, environment: Mapping[str, str], deadline_ms: int
    ) -> ShellResult:
        """Runs `bash -c command` with the environment added to ours; kills its group when late."""
        ...
