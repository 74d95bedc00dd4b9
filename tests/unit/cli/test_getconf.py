"""hdfsd getconf, as scripts use it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdfsd.base.errors import ConfigError
from hdfsd.cli.getconf import main
from hdfsd.minicluster.topology import site_xml

HA = {
    "dfs.nameservices": "ns",
    "dfs.ha.namenodes.ns": "a,b",
    "dfs.namenode.rpc-address.ns.a": "h1:1",
    "dfs.namenode.rpc-address.ns.b": "h2:2",
    "dfs.namenode.shared.edits.dir": "qjournal://j1:1;j2:2;j3:3/ns",
}


@pytest.fixture
def conf_dir(tmp_path: Path) -> str:
    (tmp_path / "hdfs-site.xml").write_text(site_xml(HA))
    return str(tmp_path)


QUESTIONS = [
    (["-confKey", "dfs.replication"], 0, "3\n"),
    (["-D", "a=b${user.none}", "-confKey", "a"], 0, "b${user.none}\n"),
    (["-confKey", "no.such"], 255, ""),
    (["-namenodes"], 0, "h1 h2\n"),
    (["-nnRpcAddresses"], 0, "h1:1\nh2:2\n"),
    (["-journalNodes"], 0, "j1 j2 j3\n"),
    ([], 255, ""),
    (["-what"], 255, ""),
]


@pytest.mark.parametrize(("words", "code", "out"), QUESTIONS)
def test_questions(
    conf_dir: str, capsys: pytest.CaptureFixture[str], words: list[str], code: int, out: str
) -> None:
    assert main(["--config", conf_dir, *words]) == code
    assert capsys.readouterr().out == out


def test_no_journal_is_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-fs", "hdfs://h", "-journalNodes"]) == 255
    assert "Did not get any addresses" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["-confKey"], ["-D"], ["-D", "x"], ["--config", "/none"]])
def test_half_a_command_line(words: list[str]) -> None:
    with pytest.raises(ConfigError):
        main(words)
