"""cluster.json and the lock beside it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hdfsd.base.errors import ConfigError, StorageError
from hdfsd.minicluster.processes import ProcessId
from hdfsd.minicluster.record import Record, Running, take_lock, write_durably
from hdfsd.minicluster.topology import Options, plan, port_count


def record_in(directory: Path) -> Record:
    options = Options()
    made = plan(str(directory), options, range(20_000, 20_000 + port_count(options)))
    return Record(made, cluster_id="CID-1")


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    assert Record.load(str(tmp_path)) is None
    record = replace(
        record_in(tmp_path),
        formatted=True,
        launcher=ProcessId(1, 2),
        running={"nn1": Running(ProcessId(3, 4), restarts=5)},
    )
    record.save()
    assert Record.load(str(tmp_path)) == record
    assert record.stopped() == replace(record, launcher=None, running={})
    assert [path.name for path in tmp_path.iterdir()] == ["cluster.json"]


def test_survivors_are_told_from_later_processes_of_the_same_pid(tmp_path: Path) -> None:
    own = ProcessId.of(os.getpid())
    assert own is not None
    earlier = ProcessId(own.pid, own.started_ticks - 1)
    record = replace(record_in(tmp_path), launcher=earlier, running={"nn1": Running(own)})
    assert not record.is_up
    assert record.survivors() == [own]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"format": 1}', '{"format": 1, "namenodes": "x"}', "null", "\x00"],
)
def test_a_torn_file_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cluster.json"
    path.write_text(text)
    with pytest.raises((StorageError, ConfigError), match=str(path)):
        Record.load(str(tmp_path))
    assert path.read_text() == text


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    record_in(tmp_path).save()
    path = tmp_path / "cluster.json"
    whole = path.read_text().rstrip()
    for length in range(0, len(whole), 37):
        path.write_text(whole[:length])
        with pytest.raises(StorageError, match="can't be read"):
            Record.load(str(tmp_path))


def test_one_at_a_time(tmp_path: Path) -> None:
    lock = take_lock(str(tmp_path))
    with pytest.raises(ConfigError, match="hdfsd cluster down"):
        take_lock(str(tmp_path))
    os.close(lock)
    os.close(take_lock(str(tmp_path)))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_durably(path, "old")
    (tmp_path / "f.tmp").mkdir()
    with pytest.raises(OSError, match=r"f\.tmp"):
        write_durably(path, "new")
    assert path.read_text() == "old"
