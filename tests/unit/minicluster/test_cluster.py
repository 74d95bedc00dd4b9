"""What `up` refuses before it starts anything."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from hdfsd.base.errors import ConfigError, StorageError
from hdfsd.minicluster import cluster


def never() -> None:
    raise AssertionError("nothing is to be started")


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "preload", never)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = SimpleNamespace(total=1 << 40, used=1 << 40, free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(StorageError, match="less than 64 MiB are free there: make room"):
        cluster.up(str(tmp_path), {}, None)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_text", no_space)
    with pytest.raises(StorageError, match="No space left on device: make room"):
        cluster.up(str(tmp_path), {}, None)


def test_a_directory_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, exist_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "makedirs", refuse)
    with pytest.raises(StorageError, match="Permission denied: choose another --dir"):
        cluster.up(str(tmp_path / "d"), {}, None)


def test_data_without_a_record_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data/nn1").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"no cluster\.json beside it"):
        cluster.up(str(tmp_path), {}, None)
    assert (tmp_path / "data/nn1").is_dir()


def test_numbers_and_ports_that_can_not_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="an odd number"):
        cluster.up(str(tmp_path), {"journalnodes": 4}, None)
    with pytest.raises(ConfigError, match="do not exist"):
        cluster.up(str(tmp_path), {}, 65_530)
    assert not (tmp_path / "cluster.json").exists()


def test_nothing_to_tell_or_stop(tmp_path: Path) -> None:
    for question in (cluster.status, cluster.down):
        with pytest.raises(ConfigError, match="no cluster here: hdfsd cluster up"):
            question(str(tmp_path))
