"""Links that are cut, stalled and healed; processes by their ids."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hdfsd.base.errors import ConfigError
from hdfsd.base.ids import Address
from hdfsd.minicluster.faults import LinkProxy, ProcessFaults

Story = Callable[[LinkProxy, Address], Awaitable[None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()


def with_proxy(story: Story) -> None:
    """Runs a story with a proxy in front of a server that echoes."""

    async def run() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        proxy = LinkProxy(Address("127.0.0.1", port))
        address = await proxy.start()
        try:
            await asyncio.wait_for(story(proxy, address), 20)
        finally:
            await proxy.close()
            server.close()

    asyncio.run(run())


async def ask(address: Address, data: bytes) -> bytes:
    """What comes back for some bytes, b"" when the connection ends instead."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(data)
        return await reader.read(len(data))
    except ConnectionError:
        return b""
    finally:
        writer.close()


def test_bytes_pass_until_cut_and_after_healing() -> None:
    async def story(proxy: LinkProxy, address: Address) -> None:
        assert await ask(address, b"one") == b"one"
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"x")
        assert await reader.read(1) == b"x"
        proxy.cut()
        with pytest.raises(ConnectionError):
            await reader.readexactly(1)
        writer.close()
        assert await ask(address, b"two") == b""
        proxy.heal()
        assert await ask(address, b"three") == b"three"

    with_proxy(story)


def test_stalled_bytes_arrive_when_healed() -> None:
    async def story(proxy: LinkProxy, address: Address) -> None:
        proxy.stall()
        asked = asyncio.ensure_future(ask(address, b"late"))
        done, _ = await asyncio.wait([asked], timeout=0.05)
        assert not done
        proxy.heal()
        assert await asked == b"late"

    with_proxy(story)


def test_a_target_that_is_down_looks_down() -> None:
    async def story(proxy: LinkProxy, address: Address) -> None:
        proxy.target = Address("127.0.0.1", 1)
        assert await ask(address, b"x") == b""

    with_proxy(story)


def test_there_must_be_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no cluster here"):
        ProcessFaults(str(tmp_path)).kill("nn1")
