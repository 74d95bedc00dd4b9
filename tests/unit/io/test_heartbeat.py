"""A heartbeat over a real socket, of a real process that is stopped and killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest

from hdfsd.base.errors import ConnectFailed, CorruptData
from hdfsd.base.ids import Address
from hdfsd.io.heartbeat import HeartbeatGiver, LocalHeartbeats, evidence_of, is_believed
from hdfsd.ports.heartbeat import BEAT_BYTES, Beat

PATIENCE_S = 60.0
GIVER = """
import sys, time
from hdfsd.base.ids import Address
from hdfsd.io.heartbeat import HeartbeatGiver
from hdfsd.ports.heartbeat import Beat
giver = HeartbeatGiver(Address(sys.argv[1], 8020))
print("up", flush=True)
while True:
    giver.beat(Beat(1, 2, "S"))
    time.sleep(0.01)
"""


def address() -> Address:
    """Nobody else's."""
    return Address(f"{uuid.uuid4()}.example", 8020)


@pytest.fixture
def process() -> Iterator[tuple[Address, subprocess.Popen[bytes]]]:
    """One that beats."""
    own = address()
    with subprocess.Popen(
        [sys.executable, "-c", GIVER, own.host], stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"up\n"
        try:
            yield own, running
        finally:
            running.kill()


def test_a_beat_is_bytes_and_back() -> None:
    for beat in (Beat(0, 0, "R"), Beat(1 << 20, 1 << 40, "T")):
        data = beat.encode()
        assert len(data) == BEAT_BYTES
        assert Beat.decode(data, "here") == beat
    assert Beat.decode(Beat(1 << 40, 0, "S").encode(), "here").loop_late_ms == 0xFFFFFFFF
    with pytest.raises(CorruptData, match=r"here.*no heartbeat of ours"):
        Beat.decode(b"x" * BEAT_BYTES, "here")


def test_beats_arrive_and_the_end_is_an_end(
    process: tuple[Address, subprocess.Popen[bytes]],
) -> None:
    own, running = process

    async def story() -> None:
        async with asyncio.timeout(PATIENCE_S):
            link = await LocalHeartbeats().connect(own)
            assert await link.next() == Beat(1, 2, "S")
            evidence = link.evidence()
            assert evidence is not None
            assert len(evidence.states) == 1
            running.kill()
            while await link.next() is not None:
                pass
            link.close()

    asyncio.run(story())


def test_a_stopped_process_is_seen_to_be_stopped(
    process: tuple[Address, subprocess.Popen[bytes]],
) -> None:
    _, running = process
    before = evidence_of(running.pid)
    assert before is not None
    assert set(before.states) <= set("RSD")
    running.send_signal(signal.SIGSTOP)
    _, status = os.waitpid(running.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    stopped = evidence_of(running.pid)
    assert stopped is not None
    assert stopped.states == "T"
    assert stopped.cpu_ms >= before.cpu_ms
    running.kill()
    running.wait()
    assert evidence_of(running.pid) is None


def test_nobody_gives_one() -> None:
    with pytest.raises(ConnectFailed, match="gives none here"):
        asyncio.run(LocalHeartbeats().connect(address()))


def test_a_name_is_given_once_and_is_free_again() -> None:
    own = address()
    giver = HeartbeatGiver(own)
    with pytest.raises(OSError, match="in use"):
        HeartbeatGiver(own)
    giver.close()
    HeartbeatGiver(own).close()
    HeartbeatGiver(Address("x" * 250, 8020)).close()


def test_who_does_not_listen_is_dropped_and_keeps_nobody_waiting() -> None:
    async def story() -> None:
        own = address()
        giver = HeartbeatGiver(own)
        link = await LocalHeartbeats().connect(own)
        for _ in range(200_000):
            giver.beat(Beat(1, 2, "S"))
            if not giver.listeners:
                break
        assert giver.listeners == 0
        link.close()
        giver.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("own", "giver", "believed"),
    [(0, 0, True), (0, 7, True), (7, 7, True), (7, 0, True), (7, 8, False)],
)
def test_whose_heartbeat_is_believed(own: int, giver: int, believed: bool) -> None:
    assert is_believed(giver, own=own) is believed
