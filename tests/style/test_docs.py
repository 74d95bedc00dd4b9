"""Generated pages say what the code does today."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from hdfsd.editlog.ops import AddOp, SetGenstampV1Op
from hdfsd.wire.packets import Op
from hdfsd.wire.services import CLIENT_PROTOCOL, INTER_DATANODE_PROTOCOL, JOURNAL_PROTOCOL

ROOT = Path(__file__).resolve().parents[2]


def test_coverage_is_fresh() -> None:
    command = [sys.executable, str(ROOT / "scripts/coverage.py")]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    kept = (ROOT / "docs/COVERAGE.md").read_text()
    assert kept == made, "docs/COVERAGE.md is out of date: make docs"


@pytest.fixture(scope="module")
def probes() -> ModuleType:
    path = ROOT / "scripts/probes.py"
    spec = importlib.util.spec_from_file_location("probes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_probes_tell_what_is_there_from_what_is_not(probes: ModuleType) -> None:
    assert probes.dfs_takes("ls", "-R")
    assert not probes.dfs_takes("ls", "-Z")
    assert probes.dfs_heeds("ls", "-R")
    assert not probes.dfs_heeds("cat", "-ignoreCrc")
    assert probes.haadmin_takes("failover", "--forcefence")
    assert not probes.haadmin_takes("checkHealth", "--forcefence")
    assert probes.data_operation_is_built(Op.READ_BLOCK)
    assert not probes.data_operation_is_built(Op.CUSTOM)
    assert probes.is_issued(AddOp)
    assert not probes.is_issued(SetGenstampV1Op)
    assert "encryption zones are not built" in probes.refusals()["INODE"]
    assert probes.refusals()["SNAPSHOT"] == []
    assert probes.refusals()["NS_INFO"] == []


def test_probes_find_who_serves_a_protocol(probes: ModuleType) -> None:
    served = {name: kind.__name__ for name, (_, kind) in probes.served().items()}
    assert served[CLIENT_PROTOCOL] == "ClientService"
    assert served[INTER_DATANODE_PROTOCOL] == "InterDatanodeService"
    assert JOURNAL_PROTOCOL not in served


def test_every_method_is_in_one_row() -> None:
    services = (ROOT / "docs/COVERAGE.md").read_text().partition("## RPC\n")[2]
    rows = [line for line in services.splitlines() if line.startswith("| ")]
    states = {row.split("|")[2].strip() for row in rows} - {"state"}
    assert states == {"built", "partly", "missing"}
    assert len(rows) - services.count("| method |") == 201


CITED = re.compile(r'ensure\(\s*"(\w+)"|InvariantBroken\(\s*f?"([A-Z]\d+):|\b([PQJFS]\d)\b')
"""Numbers in code. B and E are letters of other things too: they count in `ensure` only."""


def test_every_cited_invariant_is_explained() -> None:
    page = (ROOT / "docs/invariants.md").read_text()
    explained = set(re.findall(r"^\| (\w+) \|", page, re.MULTILINE))
    cited = {
        name
        for path in (ROOT / "src/hdfsd").glob("*/*.py")
        for names in CITED.findall(path.read_text())
        for name in names
        if name
    }
    assert cited - explained == set()
    assert explained - cited == set(), "explained, but nobody holds it"


@pytest.mark.parametrize("name", ["invariants.md", "ARCHITECTURE.md"])
def test_files_and_modules_that_are_named_exist(name: str) -> None:
    page = (ROOT / "docs" / name).read_text()
    for path in re.findall(r"`((?:tests|[a-z]+)/[\w/]+\.py)`", page):
        found = ROOT / path if path.startswith("tests/") else ROOT / "src/hdfsd" / path
        assert found.exists(), path
    rooms = {path.parent.name for path in (ROOT / "src/hdfsd").glob("*/__init__.py")}
    for room, module in re.findall(r"\b([a-z]+)\.([a-z_0-9]+)\b", page):
        if room in rooms and module not in ("py", "md"):
            assert (ROOT / f"src/hdfsd/{room}/{module}.py").exists(), f"{room}.{module}"
