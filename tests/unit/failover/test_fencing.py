from __future__ import annotations

from typing import Any

import pytest

from hdfsd.base.errors import ConfigError, ConnectFailed, OutcomeUnknown, RemoteFault
from hdfsd.failover.calls import RequestSource
from hdfsd.failover.fence_methods import Subject, parse_methods
from hdfsd.failover.fencing import FenceAttempt, Fencer, FencingFailed, FencingPlan, Means
from hdfsd.failover.policy import ServiceState
from hdfsd.ports.shell import ShellResult
from hdfsd.ports.ssh import SshTarget

World = Any


def fencer(
    world: World, *lines: str, attempts: list[FenceAttempt] | None = None, ssh: bool = True
) -> Fencer:
    plan = FencingPlan(
        methods=parse_methods(lines),
        environment={"a.b": "c"},
        graceful_timeout_ms=5000,
        connect_ms=200,
        timeout_ms=60_000,
        ssh_connect_timeout_ms=30_000,
        ssh_key_files=("/keys/a", "/keys/b"),
    )
    means = Means(world, world.shell, world.clock, world.ssh if ssh else None)
    record = (lambda _: None) if attempts is None else attempts.append
    return Fencer(plan, means, RequestSource.CONTROLLER, record=record)


def test_who_becomes_standby_when_asked_needs_no_force(world: World) -> None:
    async def story() -> None:
        node = world.settings("nn1").namenode
        world.namenodes["nn1"].state = ServiceState.ACTIVE
        how = await fencer(world, "shell(fence)").fence(node)
        assert how == "NameNode at host1:8020 became standby when it was asked"
        assert world.namenodes["nn1"].orders == [("STANDBY", RequestSource.CONTROLLER)]
        assert world.shell.ran == []
        assert world.namenodes["nn1"].services == [], "the connection is closed"

    world.run(story())


@pytest.mark.parametrize("harm", ["dead", "frozen", "refuses"])
def test_methods_are_tried_in_their_order(world: World, harm: str) -> None:
    async def story() -> None:
        namenode = world.namenodes["nn1"]
        if harm == "dead":
            namenode.kill()
        elif harm == "frozen":
            namenode.frozen = True
        else:
            namenode.refusal = RemoteFault("not now")
        world.shell.answers["first"] = ShellResult(3, "three\n")
        world.ssh.error = ConnectFailed("host1:22: no ssh session")
        attempts: list[FenceAttempt] = []
        methods = ["sshfence", "shell(first)", "shell(second)", "shell(third)"]
        how = await fencer(world, *methods, attempts=attempts).fence(world.settings("nn1").namenode)
        assert how == "NameNode at host1:8020 fenced by shell(second)"
        assert [command for command, _ in world.shell.ran] == ["first", "second"]
        assert world.shell.ran[0][1]["a_b"] == "c"
        assert [(a.how, a.succeeded) for a in attempts] == [
            ("asked to become standby", False),
            ("sshfence", False),
            ("shell(first)", False),
            ("shell(second)", True),
        ]
        assert attempts[1].said == "host1:22: no ssh session"
        assert attempts[2].said == "exit code 3: three"
        # Virtual milliseconds, cut to whole ones.
        assert [abs(a.millis - ms) <= 1 for a, ms in zip(attempts[1:], (4, 2, 2))] == [True] * 3

    world.run(story())


@pytest.mark.parametrize(("harm", "waited_ms"), [("gone", 200), ("frozen", 5000)])
def test_a_machine_that_is_gone_is_not_waited_for_like_an_answer(
    world: World, harm: str, waited_ms: int
) -> None:
    async def story() -> None:
        setattr(world.namenodes["nn1"], harm, True)
        attempts: list[FenceAttempt] = []
        how = await fencer(world, "shell(fence)", attempts=attempts).fence(
            world.settings("nn1").namenode
        )
        assert how == "NameNode at host1:8020 fenced by shell(fence)"
        assert abs(attempts[0].millis - waited_ms) <= 2
        assert f"in {waited_ms} ms" in attempts[0].said
        assert world.namenodes["nn1"].services == [], "the connection is given up"

    world.run(story())


def test_one_that_is_short_of_processor_time_gives_nobody_up(world: World) -> None:
    async def story() -> None:
        namenode = world.namenodes["nn1"]
        namenode.state, namenode.connects_in_turns = ServiceState.ACTIVE, 5
        how = await fencer(world, "shell(fence)").fence(world.settings("nn1").namenode)
        assert how == "NameNode at host1:8020 became standby when it was asked"

    world.run(story())


def test_what_every_method_said_is_on_record(world: World) -> None:
    async def story() -> None:
        world.namenodes["nn1"].kill()
        world.shell.answers["loud"] = ShellResult(1, "x" * 100_000 + " end\n")
        world.shell.answers["late"] = ShellResult(-1, "")
        world.ssh.error = ConfigError("key.pem has a passphrase")
        methods = ["shell(loud)", "shell(late)", "sshfence", "shell(a,b)", "shell(no-such-shell)"]
        with pytest.raises(FencingFailed) as caught:
            await fencer(world, *methods).fence(world.settings("nn1").namenode)
        said = str(caught.value)
        assert said.startswith("Unable to fence NameNode at host1:8020: shell(loud): exit code 1")
        late = "shell(late): killed: it did not end by itself within 60000 ms"
        assert f"x end; {late}; sshfence: key.pem has a passphrase" in said
        assert "haadmin -failover only" in said
        assert "No such file or directory" in said
        assert len(said) < 2000

    world.run(story())


def test_where_nothing_needs_to_be_done_no_shell_is_started(world: World) -> None:
    async def story() -> None:
        world.namenodes["nn1"].kill()
        attempts: list[FenceAttempt] = []
        fencing = fencer(world, "shell(/bin/true)", attempts=attempts)
        assert "fenced by shell(/bin/true)" in await fencing.fence(world.settings("nn1").namenode)
        assert world.shell.ran == []
        assert (attempts[-1].succeeded, attempts[-1].said) == (True, "nothing needs to be done")

    world.run(story())


def test_no_methods(world: World) -> None:
    async def story() -> None:
        world.namenodes["nn1"].kill()
        with pytest.raises(FencingFailed, match=r"dfs.ha.fencing.methods is empty"):
            await fencer(world).fence(world.settings("nn1").namenode)

    world.run(story())


def test_both_nodes_of_a_failover_by_hand(world: World) -> None:
    async def story() -> None:
        settings = world.settings("nn1")
        old, new = settings.namenode, settings.peers[0]
        nodes = ((new, Subject.TARGET), (old, Subject.SOURCE))
        world.shell.answers["bad"] = ShellResult(1, "")
        await fencer(world, "shell(bad,x)", "shell(up,down)").force(*nodes)
        assert [command for command, _ in world.shell.ran] == ["bad", "up", "down"]
        assert world.shell.ran[1][1]["target_namenodeid"] == "nn2"
        assert world.shell.ran[2][1]["source_namenodeid"] == "nn1"

    world.run(story())


FUSER = "PATH=$PATH:/sbin:/usr/sbin fuser -v -k -n tcp 8020"
NC = "nc -z host1 8020"


@pytest.mark.parametrize(
    ("fuser", "nc", "commands", "fenced", "said"),
    [
        (0, 0, [FUSER], True, "was killed"),
        (1, 1, [FUSER, NC], True, "nobody listens on the port"),
        (1, 0, [FUSER, NC], False, "it still listens, and this user can't kill it"),
        (1, 127, [FUSER, NC], False, "there is no nc on that machine"),
        (1, -1, [FUSER, NC], False, "nc did not end by itself"),
        (127, 0, [FUSER], False, "install psmisc"),
        (-1, 0, [FUSER], False, "fuser ended with -1"),
    ],
)
def test_by_ssh(
    world: World, fuser: int, nc: int, commands: list[str], fenced: bool, said: str
) -> None:
    async def story() -> None:
        world.ssh.answers = {"fuser": ShellResult(fuser, "8020/tcp: 77"), "nc": ShellResult(nc, "")}
        attempts: list[FenceAttempt] = []
        node = world.settings("nn1").namenode
        fencing = fencer(world, "sshfence(hdfs:2222)", attempts=attempts).force((node, None))
        if fenced:
            assert await fencing == "NameNode at host1:8020 fenced by sshfence(hdfs:2222)"
        else:
            with pytest.raises(FencingFailed, match=said):
                await fencing
        assert world.ssh.targets == [(SshTarget("host1", 2222, "hdfs"), ("/keys/a", "/keys/b"))]
        assert world.ssh.ran == commands
        assert world.ssh.opened == 0, "the session is closed"
        assert said in attempts[0].said

    world.run(story())


def test_a_link_that_breaks_during_the_kill_proves_nothing(world: World) -> None:
    async def story() -> None:
        world.ssh.answers["fuser"] = OutcomeUnknown("host1:22: connection lost")
        with pytest.raises(FencingFailed, match="connection lost"):
            await fencer(world, "sshfence").force((world.settings("nn1").namenode, None))
        assert world.ssh.opened == 0

    world.run(story())


def test_ssh_spares_the_node_that_shall_become_active(world: World) -> None:
    async def story() -> None:
        settings = world.settings("nn1")
        nodes = ((settings.peers[0], Subject.TARGET), (settings.namenode, Subject.SOURCE))
        await fencer(world, "sshfence").force(*nodes)
        assert [target.host for target, _ in world.ssh.targets] == ["host1"]

    world.run(story())


def test_where_there_is_no_ssh(world: World) -> None:
    async def story() -> None:
        with pytest.raises(FencingFailed, match="no machine can be reached by ssh from here"):
            await fencer(world, "sshfence", ssh=False).force((world.settings("nn1").namenode, None))

    world.run(story())
