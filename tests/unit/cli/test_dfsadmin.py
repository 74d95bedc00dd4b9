"""`hdfsd dfsadmin`."""

from __future__ import annotations

import pytest
from snapshot_calls import HDFS, snapshot_calls

from hdfsd.base.errors import AccessControl
from hdfsd.cli.dfsadmin import COMMANDS, main
from hdfsd.wire.messages import client_namenode

Capture = pytest.CaptureFixture[str]


def test_snapshots_are_allowed_and_disallowed(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with snapshot_calls(monkeypatch) as calls:
        assert main([*HDFS, "-allowSnapshot", "/d"]) == 0
        assert main([*HDFS, "-disallowSnapshot", "e"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Allowing snapshot on /d succeeded",
        "Disallowing snapshot on e succeeded",
    ]
    assert calls.asked == [
        ("allowSnapshot", client_namenode.AllowSnapshotRequestProto(snapshotRoot="/d")),
        (
            "disallowSnapshot",
            client_namenode.DisallowSnapshotRequestProto(snapshotRoot="/user/root/e"),
        ),
    ]


def test_what_goes_wrong_is_one_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with snapshot_calls(monkeypatch) as calls:
        calls.answers["allowSnapshot"] = AccessControl("not you\n\tat X")
        assert main([*HDFS, "-allowSnapshot", "/d"]) == 255
        assert main([*HDFS, "-allowSnapshot"]) == 255
        assert main([*HDFS, "-disallowSnapshot", "/d", "/e"]) == 255
        assert main(["-allowSnapshot", "/d"]) == 255
    assert capsys.readouterr().err.splitlines() == [
        "allowSnapshot: not you",
        "Usage: hdfs dfsadmin [-allowSnapshot <snapshotDir>]",
        "Usage: hdfs dfsadmin [-disallowSnapshot <snapshotDir>]",
        "allowSnapshot: '/d' is not an HDFS URI.",
        "Usage: hdfs dfsadmin [-allowSnapshot <snapshotDir>]",
    ]


def test_the_commands_are_listed_for_who_asks_and_who_errs(capsys: Capture) -> None:
    assert main([]) == 255
    assert main(["-nothing"]) == 255
    errors = capsys.readouterr().err
    assert "nothing: Unknown command" in errors
    assert main(["-help"]) == 0
    assert main(["-help", "allowSnapshot"]) == 0
    helped = capsys.readouterr().out
    for word in COMMANDS:
        assert errors.count(word) == 2
        assert word in helped
    assert helped.count("-allowSnapshot <snapshotDir>:") == 2
