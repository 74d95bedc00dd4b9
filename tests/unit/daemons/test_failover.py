from __future__ import annotations

import io
from pathlib import Path

import pytest

from hdfsd.base.errors import ConfigError
from hdfsd.daemons import failover

AUTOMATIC = "dfs.ha.automatic-failover.enabled"
FENCING = "dfs.ha.fencing.methods"


@pytest.fixture
def options(tmp_path: Path) -> dict[str, str]:
    """A configuration that a controller could start with, once its lock is formatted."""
    return {
        "dfs.nameservices": "ns1",
        "dfs.ha.namenodes.ns1": "nn1,nn2",
        "dfs.ha.namenode.id": "nn1",
        "dfs.namenode.rpc-address.ns1.nn1": "127.0.0.1:1",
        "dfs.namenode.rpc-address.ns1.nn2": "127.0.0.1:2",
        "hdfsd.ha.lock.dir": str(tmp_path / "lock"),
        AUTOMATIC: "true",
        FENCING: "shell(/bin/true)",
    }


def run(options: dict[str, str], *words: str) -> int:
    definitions = [word for key, value in options.items() for word in ("-D", f"{key}={value}")]
    return failover.main([*definitions, *words])


def test_formatting(
    options: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crumb = tmp_path / "lock" / "ns1" / "ActiveBreadCrumb"
    assert run(options, "-formatZK", "-nonInteractive") == 0
    crumb.write_bytes(bytes(8))
    assert run(options, "-formatZK", "-nonInteractive") == failover.FORMAT_DENIED
    assert crumb.exists()
    assert run(options, "-formatZK", "-force", "-nonInteractive") == 0
    assert not crumb.exists()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("typed", "code"), [("n\n", failover.FORMAT_DENIED), ("y\n", 0), ("", 2)])
def test_formatting_asks_before_it_clears(
    options: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    typed: str,
    code: int,
) -> None:
    assert run(options, "-formatZK") == 0, "nothing there, nothing to ask"
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert run(options, "-formatZK") == code
    said = capsys.readouterr().err
    assert f"The configured parent znode {tmp_path}/lock/ns1 already exists." in said
    assert "Proceed formatting" in said


def test_exit_codes_of_a_start_that_can_not_be(options: dict[str, str]) -> None:
    assert run({**options, AUTOMATIC: "false"}) == failover.NOT_AUTOMATIC
    assert run(options) == failover.NO_PARENT
    assert run(options, "-formatZK") == 0
    assert run({**options, FENCING: ""}) == failover.NO_FENCER
    assert run({**options, FENCING: "powershell(x)"}) == failover.NO_FENCER
    nowhere = {"ha.zookeeper.quorum": "127.0.0.1:1", "ha.zookeeper.session-timeout.ms": "200"}
    assert run({**options, **nowhere}) == failover.NO_LOCK_SERVICE
    assert run({**options, **nowhere}, "-formatZK", "-force") == failover.NO_LOCK_SERVICE


def test_no_lock_service_is_configured(options: dict[str, str]) -> None:
    del options["hdfsd.ha.lock.dir"]
    with pytest.raises(ConfigError, match=r"ha\.zookeeper\.quorum"):
        run(options)


@pytest.mark.parametrize("words", [("-bogus",), ("-force",), ("-formatZK", "-bogus"), ("now",)])
def test_bad_words(
    options: dict[str, str], capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert run(options, *words) == 1
    assert "Usage: hdfsd zkfc [ -formatZK" in capsys.readouterr().err


def test_help(options: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(options, "-help") == 0
    assert "-nonInteractive" in capsys.readouterr().out
