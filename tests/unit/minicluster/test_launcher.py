"""The launcher with daemons that only pretend: order of starts and stops, restarts, failures."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hdfsd.minicluster.processes import ProcessId, free_ports
from hdfsd.minicluster.record import Record
from hdfsd.minicluster.topology import Options, plan, port_count, site_files

OPTIONS = Options(journalnodes=1, datanodes=1)

PRETENDER = '''
    """Listens on its RPC port as the daemon would, and tells a diary what it was asked."""
    import os, signal, socket, sys
    from hdfsd.io.site import configuration_of

    def main(arguments):
        conf, rest = configuration_of(arguments)
        name = os.path.basename(os.environ["HADOOP_CONF_DIR"])
        root = os.path.dirname(os.path.dirname(os.environ["HADOOP_CONF_DIR"]))
        diary = os.open(f"{root}/diary", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        tell = lambda what: os.write(diary, f"{name} {what}\\n".encode())
        tell(" ".join(["asked", *rest]))
        if os.path.exists(f"{root}/broken-{name}"):
            os.write(2, b"it is broken\\n")
            return 3
        if rest:
            if rest[0] in ("-format", "-bootstrapStandby"):
                os.makedirs(f"{root}/data/{name}/current", exist_ok=True)
                open(f"{root}/data/{name}/current/VERSION", "w").close()
            return 0
        keys = ("dfs.journalnode.rpc-address", "dfs.datanode.ipc.address")
        found = [conf.get(key) for key in keys if conf.source(key) != "default"]
        if name.startswith("nn"):
            found = [conf.get(f"dfs.namenode.rpc-address.hdfsd.{name}")]
        if name.startswith("zkfc"):
            found = [":" + conf.get(f"dfs.ha.zkfc.port.hdfsd.{name.replace('zkfc', 'nn')}")]
        server = socket.create_server(("127.0.0.1", int(found[0].rpartition(":")[2])))
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        signal.sigwait({signal.SIGTERM})
        return 0
'''
LAUNCH = """
import sys
from hdfsd.minicluster.launcher import MODULES, Launcher
from hdfsd.minicluster.record import Record
directory, notify_fd = sys.argv[1:]
sys.path.insert(0, directory)
modules = dict.fromkeys(MODULES, "pretender_daemon")
sys.exit(Launcher(Record.load(directory), int(notify_fd), modules).run())
"""


@pytest.fixture
def record(tmp_path: Path) -> Record:
    (tmp_path / "pretender_daemon.py").write_text(textwrap.dedent(PRETENDER))
    made = plan(str(tmp_path), OPTIONS, free_ports(port_count(OPTIONS)))
    for path, text in site_files(made):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).write_text(text)
    for name in ("logs", "held"):
        (tmp_path / name).mkdir()
    return Record(made, cluster_id="CID-test")


class Running:
    """A launcher in a process of its own, and what it says."""

    def __init__(self, record: Record) -> None:
        self.directory = Path(record.plan.directory)
        record.save()
        reading, writing = os.pipe()
        command = [sys.executable, "-c", LAUNCH, record.plan.directory, str(writing)]
        with open(self.directory / "launcher.log", "ab") as log:
            self.process = subprocess.Popen(command, pass_fds=[writing], stderr=log)
        os.close(writing)
        with os.fdopen(reading) as words:
            self.told = json.loads(words.readline())

    def record(self) -> Record:
        found = Record.load(str(self.directory))
        assert found is not None
        return found

    def diary(self) -> list[str]:
        return (self.directory / "diary").read_text().splitlines()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def launch(record: Record) -> Iterator[Callable[[Record], Running]]:
    made: list[Running] = []

    def start(chosen: Record) -> Running:
        made.append(Running(chosen))
        return made[-1]

    yield start
    for running in made:
        running.stop()


def wait_for_restart(running: Running, daemon_id: str, old: ProcessId) -> None:
    """Until cluster.json names another process; bounded by the test's time limit."""
    while True:
        entry = running.record().running.get(daemon_id)
        if entry is not None and entry.process != old:
            return
        os.sched_yield()


def test_first_start_formats_and_later_ones_do_not(
    record: Record, launch: Callable[[Record], Running]
) -> None:
    first = launch(record)
    assert first.told == {"event": "up", "text": ""}
    assert sorted(first.record().running) == ["dn1", "jn1", "nn1", "nn2", "zkfc1", "zkfc2"]
    assert first.record().formatted
    first.stop()
    asked = [line for line in first.diary() if "asked" in line]
    assert asked[:4] == [
        "jn1 asked",
        "nn1 asked -format -clusterid CID-test -force -nonInteractive",
        "zkfc1 asked -formatZK -force -nonInteractive",
        "nn1 asked",
    ]
    assert "nn2 asked -bootstrapStandby -force -nonInteractive" in asked
    log = (first.directory / "launcher.log").read_text()
    stopped = re.findall(r" (\w+) stopped: ", log)
    assert {*stopped[:2]} == {"zkfc1", "zkfc2"}
    assert stopped[5:] == ["jn1"]

    (first.directory / "diary").unlink()
    second = launch(first.record())
    assert second.told["event"] == "up"
    assert not [line for line in second.diary() if "-" in line]
    second.stop()
    assert second.record().running == {}
    assert second.record().launcher is None


def test_a_killed_daemon_is_started_again(
    record: Record, launch: Callable[[Record], Running]
) -> None:
    running = launch(record)
    old = running.record().running["dn1"]
    old.process.send(signal.SIGKILL)
    wait_for_restart(running, "dn1", old.process)
    assert running.record().running["dn1"].restarts == 1


def test_a_format_that_fails_is_told_and_can_be_tried_again(
    record: Record, launch: Callable[[Record], Running]
) -> None:
    broken = Path(record.plan.directory, "broken-nn1")
    broken.touch()
    failed = launch(record)
    assert failed.told["event"] == "failed"
    assert failed.told["text"].startswith("nn1: -format ended with 3: it is broken (")
    failed.stop()
    assert not failed.record().formatted
    assert failed.record().running == {}
    broken.unlink()
    assert launch(failed.record()).told["event"] == "up"


def test_a_daemon_that_never_stays_up_is_told(
    record: Record, launch: Callable[[Record], Running]
) -> None:
    Path(record.plan.directory, "broken-jn1").touch()
    failed = launch(replace(record, formatted=True))
    assert failed.told["event"] == "failed"
    assert failed.told["text"].startswith("jn1 does not stay up: it is broken (")
