"""A Java client sees no error while the active NameNode is killed under it, time and again."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hadoop import Hadoop

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

WRITER = Path(__file__).parent / "java/FailoverWriter.java"
KILLS = 3
FILES_BETWEEN = 60
DEADLINE_SECONDS = 60


def lines_of(log: Path) -> int:
    return log.read_bytes().count(b"\n")


def wait_for_files(writer: subprocess.Popen[bytes], out: Path, count: int) -> None:
    """Until so many more were written. AssertionError when the client gave up or stands still."""
    wanted, end = lines_of(out) + count, time.monotonic() + DEADLINE_SECONDS
    while lines_of(out) < wanted:
        assert writer.poll() is None, "the client ended"
        assert time.monotonic() < end, f"{lines_of(out)} of {wanted} files"
        time.sleep(0.05)


def wait_for_standby(cluster: Any) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not (cluster.in_state("standby") and cluster.in_state("active")):
        assert time.monotonic() < end, cluster.last_logs()
        time.sleep(0.1)


def test_three_kills_without_an_error(
    hadoop_lib: Path, start_cluster: Callable[..., Any], tmp_path: Path
) -> None:
    cluster = start_cluster()
    out, err = tmp_path / "out", tmp_path / "err"
    with open(out, "wb") as stdout, open(err, "wb") as stderr:
        writer = subprocess.Popen(
            Hadoop(hadoop_lib, tmp_path).command(cluster.conf_dir, str(WRITER)),
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            cwd=tmp_path,
        )
    try:
        for _ in range(KILLS):
            wait_for_files(writer, out, FILES_BETWEEN)
            wait_for_standby(cluster)
            cluster.signal(cluster.wait_for_active()["id"], signal.SIGKILL)
        wait_for_files(writer, out, FILES_BETWEEN)
        writer.communicate(b"\n", timeout=DEADLINE_SECONDS)
    finally:
        writer.kill()
        writer.wait(30)
    said = err.read_text("utf-8", "replace")
    assert writer.returncode == 0, said[-6000:]
    assert out.read_text().splitlines()[-1].startswith("all ")
