"""The cores that a compiled installation has as machine code (tool.hdfsd in pyproject.toml)."""

from __future__ import annotations

import importlib
import os
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LISTED = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hdfsd"]["compiled"]
COMPILED = os.environ.get("HDFSD_COMPILED") == "1"


@pytest.mark.parametrize("name", LISTED)
def test_a_listed_module_is_what_this_run_says_it_is(name: str) -> None:
    """`make test-compiled` must not test the source by mistake, nor `make test` the other."""
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert module.__file__.endswith(".so") == COMPILED
    assert (ROOT / "src" / f"{name.replace('.', '/')}.py").exists()
