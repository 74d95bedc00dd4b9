"""Adapter. Every module of system tests leaves no process behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from witnesses import processes_in, wait_for


@pytest.fixture(scope="module", autouse=True)
def _no_process_stays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Set up before and torn down after the clusters of the module."""
    yield
    directory = tmp_path_factory.getbasetemp()
    wait_for(lambda: not processes_in(directory), f"all processes of {directory} gone", 20)
    assert processes_in(directory) == {}
