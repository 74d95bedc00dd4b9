"""A daemon's life on the real loop: it ends at SIGTERM, and its errors come out."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from hdfsd.base.errors import ConfigError
from hdfsd.daemons.world import World, run_daemon


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(number: signal.Signals) -> None:
    steps: list[str] = []

    async def serve() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            steps.append("shut down")

    assert run_daemon(serve) == 0
    assert steps == ["shut down"]


def test_its_errors_are_its_callers() -> None:
    async def serve() -> None:
        raise ConfigError("no such thing")

    with pytest.raises(ConfigError, match="no such thing"):
        run_daemon(serve)


def test_worlds_do_not_share_ports() -> None:
    assert World().disk is not World().disk
