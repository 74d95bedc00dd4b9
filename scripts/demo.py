"""Adapter. `make demo`: a cluster, its active NameNode killed under a writer, the file read back.

Prints who did what at which millisecond: our own steps, and what the daemons' logs say.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import hdfs_native

FILE_BYTES = 64 << 20
CHUNK_BYTES = 1 << 20
KILL_AFTER_BYTES = FILE_BYTES // 4
PATIENCE_S = 30.0
NAMESERVICE = "hdfs://hdfsd"
LOG_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) \w+ (hdfsd\.\S+): (.*)")
WORTH_TELLING = re.compile(
    r"ended: killed|entered health|election:|to be fenced|epoch \d|→|Successfully transitioned"
    r"|is active at txid"
)


class Timeline:
    """What happened, by the wall clock."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, str, str]] = []

    def note(self, who: str, what: str) -> None:
        """Something that this program did, now."""
        self.rows.append((time.time(), who, what))

    def read_logs(self, directory: Path, since: float) -> None:
        """What daemons did about the failover."""
        for path in sorted(directory.glob("*.log")):
            for line in path.read_text("utf-8", "replace").splitlines():
                match = LOG_LINE.match(line)
                if match is None or not WORTH_TELLING.search(match[3]):
                    continue
                when = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S,%f").timestamp()
                if when >= since - 0.001:
                    self.rows.append((when, path.stem, match[3]))

    def show(self, zero: float) -> None:
        """All rows in order, in milliseconds from `zero`."""
        for when, who, what in sorted(self.rows, key=lambda row: row[0]):
            print(f"{(when - zero) * 1000:>9.0f} ms  {who:<9} {what[:110]}")


def hdfsd(*arguments: str) -> str:
    """Our command line; ends the demo when it fails."""
    command = [sys.executable, "-m", "hdfsd.cli.main", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"hdfsd {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def active(directory: Path) -> dict[str, Any]:
    """The row of the active NameNode."""
    rows = json.loads(hdfsd("cluster", "status", "--json", "--dir", str(directory)))
    found: dict[str, Any] = next(row for row in rows if row["state"] == "active")
    return found


def write_and_kill(client: hdfs_native.Client, victim: dict[str, Any], timeline: Timeline) -> str:
    """A file written while the active NameNode dies; its checksum."""
    digest = hashlib.sha256()
    timeline.note("client", f"begins to write {FILE_BYTES >> 20} MiB through hdfs-native")
    with client.create("/demo/file") as target:
        for written in range(0, FILE_BYTES, CHUNK_BYTES):
            if written == KILL_AFTER_BYTES:
                os.kill(victim["pid"], signal.SIGKILL)
                timeline.note("demo", f"kill -9 of {victim['id']}, the active NameNode")
            chunk = os.urandom(CHUNK_BYTES)
            digest.update(chunk)
            target.write(chunk)
    timeline.note("client", "the file is written and closed")
    return digest.hexdigest()


def write_again(client: hdfs_native.Client, timeline: Timeline) -> None:
    """A call that needs an active NameNode, repeated until it is answered."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            client.mkdirs("/demo/after", 0o755, True)
        except RuntimeError as error:
            timeline.note("client", f"in flight when the connection broke: {str(error)[:60]}")
            if time.monotonic() > end:
                raise
            continue
        timeline.note("client", "the first new write is acknowledged")
        return


def read_back(client: hdfs_native.Client, timeline: Timeline) -> str:
    """The checksum of what is there now."""
    digest = hashlib.sha256()
    for chunk in client.read("/demo/file").read_range_stream(0, FILE_BYTES):
        digest.update(chunk)
    timeline.note("client", "the file is read back")
    return digest.hexdigest()


def main() -> int:
    """0 when the file came back whole, and another NameNode is active."""
    directory = Path(tempfile.mkdtemp(prefix="hdfsd-demo-"))
    timeline = Timeline()
    began = time.time()
    timeline.note("demo", "hdfsd cluster up")
    try:
        print(hdfsd("cluster", "up", "--dir", str(directory)))
        timeline.note("demo", "the cluster takes writes")
        conf = str(directory / "conf")
        client = hdfs_native.Client(NAMESERVICE, config_dir=conf)
        client.mkdirs("/demo", 0o755, True)
        timeline.note("client", "the first write is acknowledged")
        victim = active(directory)
        written = write_and_kill(client, victim, timeline)
        write_again(client, timeline)
        read = read_back(client, timeline)
        successor = active(directory)
        timeline.note("demo", f"{successor['id']} is the active NameNode now")
        killed = next(when for when, _, what in timeline.rows if what.startswith("kill -9"))
        timeline.read_logs(directory / "logs", killed)
        timeline.show(began)
    finally:
        hdfsd("cluster", "down", "--dir", str(directory))
        shutil.rmtree(directory)
    same = "equal" if read == written else "NOT EQUAL"
    print(f"\nsha256 written {written}\nsha256 read    {read}\n{same}: {FILE_BYTES} bytes")
    if successor["id"] == victim["id"]:
        print(f"but {victim['id']}, which was killed, is active again: nobody took over")
    return 0 if read == written and successor["id"] != victim["id"] else 1


if __name__ == "__main__":
    sys.exit(main())
