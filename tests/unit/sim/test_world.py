"""The world: lives of processes and machines, and drivers that ship running in it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hdfsd.base.errors import HdfsdError, OutcomeUnknown
from hdfsd.base.ids import Address
from hdfsd.rpc.client import RpcClient
from hdfsd.rpc.server import Call, RpcServer
from hdfsd.sim.loop import NothingLeft
from hdfsd.sim.network import NetworkFaults
from hdfsd.sim.world import KILLED, Process, SimulationFailed, World
from hdfsd.wire.messages import Message, client_namenode
from hdfsd.wire.services import CLIENT_PROTOCOL

ADDRESS = Address("nn1", 8020)
Mkdirs = client_namenode.MkdirsRequestProto


async def _wait(process: Process) -> None:
    await asyncio.get_running_loop().create_future()


def test_how_processes_end() -> None:
    world = World("1")
    machine = world.add_machine("m")

    async def returns(process: Process) -> None:
        await asyncio.sleep(1)

    async def raises(process: Process) -> None:
        raise KeyError("cause")

    async def story() -> None:
        good, bad, long = (machine.start("p", main) for main in (returns, raises, _wait))
        await good.ended
        await bad.ended
        assert good.outcome is None
        assert isinstance(bad.outcome, KeyError)
        assert long.running
        assert not good.running
        long.kill()
        long.kill()
        await long.ended
        assert long.outcome == KILLED
        assert not machine.processes

    world.run(story())


def test_a_process_that_ends_takes_its_tasks_and_ports_with_it() -> None:
    world = World("1")
    machine = world.add_machine("m")
    seen: list[str] = []

    async def background() -> None:
        await asyncio.sleep(5)
        seen.append("still running")

    async def main(process: Process) -> None:
        process.task = asyncio.ensure_future(background())  # type: ignore[attr-defined]
        await process.network.listen(Address("m", 1), asyncio.Protocol)
        process.disk.lock("/")

    async def story() -> None:
        for _ in range(2):
            process = machine.start("p", main)
            await process.ended
            assert process.outcome is None
        await asyncio.sleep(60)

    world.run(story())
    assert seen == []


def test_no_process_starts_without_power() -> None:
    world = World("1")
    machine = world.add_machine("m")

    async def story() -> None:
        process = machine.start("p", _wait)
        machine.power_off()
        assert process.outcome == KILLED
        with pytest.raises(AssertionError, match="m is without power"):
            machine.start("p", _wait)
        machine.power_on()
        machine.start("p", _wait)

    world.run(story())


def test_clocks_of_machines_differ_and_keep_their_distance() -> None:
    world = World("1")
    clocks = [world.add_machine(name).clock for name in "abc"]

    async def story() -> None:
        before = [(clock.now_ms(), clock.wall_ms()) for clock in clocks]
        assert len(set(before)) == 3
        await asyncio.sleep(60)
        after = [(clock.now_ms(), clock.wall_ms()) for clock in clocks]
        assert [(a[0] - b[0], a[1] - b[1]) for a, b in zip(after, before)] == [(60_000, 60_000)] * 3

    world.run(story())


def test_a_world_in_which_everybody_waits_says_so() -> None:
    world = World("1")
    process_of = world.add_machine("m").start

    async def story() -> None:
        process = process_of("p", _wait)
        process.pause()
        await process.ended

    with pytest.raises(NothingLeft, match="paused: m/p"):
        world.run(story())


def test_what_nobody_caught_fails_the_run_with_the_trace() -> None:
    world = World("1")
    machine = world.add_machine("m")

    async def main(process: Process) -> None:
        asyncio.get_running_loop().call_soon({}.__getitem__, "missing")
        await asyncio.sleep(1)

    async def story() -> None:
        await machine.start("p", main).ended

    with pytest.raises(SimulationFailed, match=r"KeyError[\s\S]*start m/p"):
        world.run(story())


class Counter:
    """A service that counts what it has done, durably before it answers."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def mkdirs(self, request: Any, call: Call) -> Message:
        disk = self._process.disk
        await disk.write_atomic(request.src, b"made")
        return client_namenode.MkdirsResponseProto(result=True)


async def serve(process: Process) -> None:
    server = RpcServer({CLIENT_PROTOCOL: Counter(process)}, clock=process.clock)
    await server.start(process.network, ADDRESS)
    await server.run()


def a_stormy_day(seed: str) -> tuple[str, int, int]:
    """(digest, calls acknowledged, calls of unknown outcome) of a server that has it hard."""
    world = World(seed, network_faults=NetworkFaults(reset_mean_ms=2_000, give_up_ms=3_000))
    server, machine = world.add_machine("nn1"), world.add_machine("client")
    acknowledged: list[str] = []
    unknown: list[str] = []

    async def worker(client: RpcClient, name: str) -> None:
        for n in range(60):
            path = f"/{name}-{n}"
            request = Mkdirs(src=path, masked={"perm": 0o755}, createParent=True)
            try:
                await client.call("mkdirs", request, deadline_ms=2_000)
                acknowledged.append(path)
            except OutcomeUnknown:
                unknown.append(path)
            except HdfsdError:
                await asyncio.sleep(0.1)

    async def client_main(process: Process) -> None:
        client = RpcClient(process.network, ADDRESS, CLIENT_PROTOCOL, user="u", dice=process.dice)
        await asyncio.gather(*(worker(client, name) for name in "abcd"))
        await client.close()

    async def story() -> None:
        dice = world.dice.fork("nemesis")
        process = server.start("namenode", serve)
        client = machine.start("client", client_main)
        for _ in range(12):
            await asyncio.sleep(dice.between(0.01, 0.3))
            match dice.below(4):
                case 0:
                    process.kill()
                    process = server.start("namenode", serve)
                case 1:
                    server.power_off()
                    await asyncio.sleep(dice.between(0.1, 5))
                    server.power_on()
                    process = server.start("namenode", serve)
                case 2:
                    process.pause()
                    await asyncio.sleep(dice.between(0.1, 3))
                    process.resume()
                case 3:
                    world.fabric.cut(server.host, machine.host)
                    await asyncio.sleep(dice.between(0.1, 5))
                    world.fabric.heal()
        await client.ended
        assert client.outcome is None
        there = set(process.disk.list("/"))
        assert {path[1:] for path in acknowledged} <= there
        assert there <= {path[1:] for path in (*acknowledged, *unknown)} | {
            f"{path[1:]}.tmp" for path in unknown
        }

    world.run(story())
    return world.digest(), len(acknowledged), len(unknown)


def test_an_rpc_server_through_storms_keeps_what_it_acknowledged() -> None:
    days = [a_stormy_day(str(seed)) for seed in range(15)]
    assert len({digest for digest, _, _ in days}) == 15
    assert all(acknowledged > 50 for _, acknowledged, _ in days)
    assert sum(unknown for _, _, unknown in days) > 20


@pytest.mark.parametrize("seed", ["3", "11"])
def test_same_seed_same_day(seed: str) -> None:
    assert a_stormy_day(seed) == a_stormy_day(seed)
