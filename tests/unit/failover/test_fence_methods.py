from __future__ import annotations

from collections.abc import Callable

import pytest

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConfigError
from hdfsd.base.nameservices import namenode
from hdfsd.failover.fence_methods import (
    FenceMethod,
    MethodKind,
    Subject,
    command_for,
    environment_for,
    is_nothing,
    parse_methods,
)

SHELL, SSH = MethodKind.SHELL, MethodKind.SSH


@pytest.mark.parametrize(
    ("lines", "methods"),
    [
        ([], []),
        (["", "  # nothing"], []),
        (["shell(/bin/true)"], [(SHELL, "/bin/true")]),
        (["sshfence", "shell(x)"], [(SSH, ""), (SHELL, "x")]),
        (["sshfence(hdfs:22)"], [(SSH, "hdfs:22")]),
        (["shell(/a b --c='(d)')"], [(SHELL, "/a b --c='(d)'")]),
        (["shell(/a) # then b"], [(SHELL, "/a")]),
    ],
)
def test_methods(lines: list[str], methods: list[tuple[MethodKind, str]]) -> None:
    assert parse_methods(lines) == tuple(FenceMethod(*method) for method in methods)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("shell", "has no command"),
        ("shell()", "can't parse"),
        ("shell(x", "can't parse"),
        ("shell (x)", "can't parse"),
        ("sshfence(hdfs:ssh)", r"sshfence\(hdfs:ssh\): write sshfence"),
        ("powershell(Stop-Computer)", "runs on Windows only"),
        ("org.example.PowerSwitch(7)", "no method 'org.example.PowerSwitch'"),
        ("Shell(x)", "no method 'Shell'"),
    ],
)
def test_a_line_that_can_not_be_used(line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_methods(["shell(/bin/true)", line])


def test_a_method_is_written_as_it_was_read() -> None:
    for line in ("shell(/bin/true)", "sshfence", "sshfence(hdfs:22)"):
        assert str(parse_methods([line])[0]) == line


def test_one_command_is_for_everybody() -> None:
    for subject in (None, *Subject):
        assert command_for("/bin/fence now", subject) == "/bin/fence now"
        assert command_for("/bin/fence now,", subject) == "/bin/fence now"


def test_two_commands_are_for_the_two_nodes_of_a_failover_by_hand() -> None:
    assert command_for("/up,/down", Subject.TARGET) == "/up"
    assert command_for("/up,/down", Subject.SOURCE) == "/down"
    with pytest.raises(ConfigError, match="haadmin -failover only"):
        command_for("/up,/down", None)
    with pytest.raises(ConfigError, match="at most two"):
        command_for("/up,/down,/out", Subject.TARGET)


def test_a_command_that_does_nothing() -> None:
    assert is_nothing("/bin/true")
    assert is_nothing(" /usr/bin/true ")
    assert not is_nothing("/bin/true; reboot")
    assert not is_nothing("/bin/false")


@pytest.mark.parametrize(
    ("subject", "prefix"),
    [(None, "target_"), (Subject.TARGET, "target_"), (Subject.SOURCE, "source_")],
)
def test_environment(
    configuration_of: Callable[..., Configuration], subject: Subject | None, prefix: str
) -> None:
    node = namenode(configuration_of(2), "ns1", "nn2")
    values = {"a.b-c": "1", "dfs.ha.zkfc.port": "8019", "no=name": "2", "": "3"}
    assert environment_for(values, node, subject) == {
        "a_b-c": "1",
        "dfs_ha_zkfc_port": "8019",
        f"{prefix}host": "host2",
        f"{prefix}port": "8020",
        f"{prefix}address": "host2:8020",
        f"{prefix}nameserviceid": "ns1",
        f"{prefix}namenodeid": "nn2",
    }
