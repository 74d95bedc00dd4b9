from __future__ import annotations

from typing import Any

import pytest

from hdfsd.base.errors import RemoteFault
from hdfsd.failover.calls import RequestSource
from hdfsd.failover.fence_methods import Subject, parse_methods
from hdfsd.failover.fencing import Fencer, FencingFailed
from hdfsd.failover.policy import ServiceState
from hdfsd.ports.shell import ShellResult

World = Any


def fencer(world: World, *lines: str) -> Fencer:
    return Fencer(
        parse_methods(lines),
        links=world,
        shell=world.shell,
        environment={"a.b": "c"},
        source=RequestSource.CONTROLLER,
        graceful_timeout_ms=5000,
    )


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
        world.shell.answers["first"] = ShellResult(3, "")
        how = await fencer(
            world, "sshfence", "shell(first)", "shell(second)", "shell(third)"
        ).fence(world.settings("nn1").namenode)
        assert how == "NameNode at host1:8020 fenced by shell(second)"
        assert [command for command, _ in world.shell.ran] == ["first", "second"]
        assert world.shell.ran[0][1]["a_b"] == "c"

    world.run(story())


def test_what_every_method_said_is_on_record(world: World) -> None:
    async def story() -> None:
        world.namenodes["nn1"].kill()
        world.shell.answers["loud"] = ShellResult(1, "x" * 100_000 + " end\n")
        world.shell.answers["late"] = ShellResult(-1, "")
        methods = ["shell(loud)", "shell(late)", "sshfence", "shell(a,b)", "shell(no-such-shell)"]
        with pytest.raises(FencingFailed) as caught:
            await fencer(world, *methods).fence(world.settings("nn1").namenode)
        said = str(caught.value)
        assert said.startswith("Unable to fence NameNode at host1:8020: shell(loud): exit code 1")
        assert "x end; shell(late): exit code -1; sshfence: sshfence is not built" in said
        assert "haadmin -failover only" in said
        assert "No such file or directory" in said
        assert len(said) < 2000

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
