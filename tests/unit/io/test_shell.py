"""Commands: exit codes, bounded output, deadlines for whole groups."""

from __future__ import annotations

import asyncio
import os
import pathlib
import signal

import pytest

from hdfsd.io.shell import RealShell
from hdfsd.ports.shell import OUTPUT_BYTES_MAX, ShellResult


def run(command: str, deadline_ms: int = 20_000, **environment: str) -> ShellResult:
    return asyncio.run(RealShell().run(command, environment=environment, deadline_ms=deadline_ms))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("true", ShellResult(0, "")),
        ("exit 7", ShellResult(7, "")),
        ("echo out; echo err >&2", ShellResult(0, "out\nerr\n")),
        ('echo "$target_host:$HOME" | cut -c1-4', ShellResult(0, "nn1:\n")),
        ("read line; echo got $?", ShellResult(0, "got 1\n")),
        ("printf '\\377x'", ShellResult(0, "\ufffdx")),
        ("no-such-command 2>/dev/null", ShellResult(127, "")),
    ],
)
def test_results(command: str, expected: ShellResult) -> None:
    assert run(command, target_host="nn1") == expected


def test_output_is_bounded_and_the_writer_is_not_held_up() -> None:
    result = run("head -c 1000000 /dev/zero | tr '\\0' x; echo -n end >&2; exit 3")
    assert (result.exit_code, len(result.output)) == (3, OUTPUT_BYTES_MAX)
    assert set(result.output) == {"x"}


def test_a_late_command_is_killed_with_its_children(tmp_path: pathlib.Path) -> None:
    # The pipe has a reader only until its writers, the command and its child, are dead.
    result = run(f"echo begun; (sleep 1000; touch {tmp_path}/survived) & sleep 1000", 300)
    assert result == ShellResult(-1, "begun\n")
    assert list(tmp_path.iterdir()) == []


def test_a_child_left_behind_does_not_hold_the_answer() -> None:
    # Its end would come long after the test's own deadline.
    result = run("sleep 1000 & echo done $!")
    os.kill(int(result.output.split()[1]), signal.SIGKILL)
    assert result.exit_code == 0


def test_a_cancelled_caller_leaves_no_command_behind() -> None:
    async def story() -> None:
        running = asyncio.ensure_future(
            RealShell().run("sleep 1000", environment={}, deadline_ms=10**6)
        )
        await asyncio.sleep(0.1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 10)

    asyncio.run(story())
