from __future__ import annotations

import pytest

from hdfsd.base.errors import ConfigError
from hdfsd.base.ids import Address
from hdfsd.failover.ssh_fence import (
    SshArgument,
    after_check,
    after_kill,
    check_command,
    kill_command,
    parse_argument,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", SshArgument("", 22)),
        ("hdfs", SshArgument("hdfs", 22)),
        (":2222", SshArgument("", 2222)),
        ("hdfs:2222", SshArgument("hdfs", 2222)),
        ("hdfs@EXAMPLE", SshArgument("hdfs@EXAMPLE", 22)),
    ],
)
def test_argument(text: str, expected: SshArgument) -> None:
    assert parse_argument(text) == expected


@pytest.mark.parametrize("text", ["hdfs:", "hdfs:ssh", "a:b:22", ":0", "hdfs:65536", ":-1"])
def test_an_argument_that_can_not_be_used(text: str) -> None:
    with pytest.raises(ConfigError, match=r"sshfence\("):
        parse_argument(text)


@pytest.mark.parametrize(
    ("exit_code", "fenced"), [(0, True), (1, None), (2, False), (127, False), (-1, False)]
)
def test_after_the_kill(exit_code: int, fenced: bool | None) -> None:
    assert after_kill(exit_code).fenced is fenced


@pytest.mark.parametrize(
    ("exit_code", "fenced"),
    [(0, False), (1, True), (2, True), (126, False), (127, False), (-1, False)],
)
def test_after_the_check(exit_code: int, fenced: bool) -> None:
    assert after_check(exit_code).fenced is fenced


def test_commands_are_hadoops_and_a_host_is_one_word() -> None:
    assert kill_command(Address("nn1", 8020)).endswith(" fuser -v -k -n tcp 8020")
    assert check_command(Address("nn1.example", 8020)) == "nc -z nn1.example 8020"
    assert check_command(Address("nn1; reboot", 8020)) == "nc -z 'nn1; reboot' 8020"
