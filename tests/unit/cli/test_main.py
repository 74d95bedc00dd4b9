"""The hdfsd command: words to modules."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType

import pytest

from hdfsd.base.errors import ConfigError, InvariantBroken
from hdfsd.cli import main as cli
from hdfsd.cli.main import COMMANDS, main


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A command `fake` whose main does what the test says."""
    module = ModuleType("hdfsd.cli.fake")
    monkeypatch.setitem(sys.modules, "hdfsd.cli.fake", module)
    monkeypatch.setattr(cli, "COMMANDS", COMMANDS | {"fake": ("hdfsd.cli.fake", "")})
    monkeypatch.setattr(cli, "set_up_logging", lambda level: None)
    return module


def test_arguments_reach_the_command(fake: ModuleType) -> None:
    seen: list[list[str]] = []

    def fake_main(arguments: list[str]) -> int:
        seen.append(list(arguments))
        return 7

    fake.main = fake_main  # type: ignore[attr-defined]
    assert main(["fake", "-D", "a=b", "x"]) == 7
    assert main(["--config", "/c", "fake", "-x"]) == 7
    assert seen == [["-D", "a=b", "x"], ["--config", "/c", "-x"]]


def test_an_error_that_can_be_mended_is_one_line(
    fake: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(arguments: list[str]) -> int:
        raise ConfigError("a=b: write c")

    fake.main = fails  # type: ignore[attr-defined]
    assert main(["fake"]) == 1
    assert capsys.readouterr().err == "hdfsd fake: a=b: write c\n"


def test_a_broken_invariant_is_never_swallowed(fake: ModuleType) -> None:
    def breaks(arguments: list[str]) -> int:
        raise InvariantBroken("P1")

    fake.main = breaks  # type: ignore[attr-defined]
    with pytest.raises(InvariantBroken):
        main(["fake"])


def test_usage_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    assert "Usage: hdfsd" in capsys.readouterr().err
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {command}" in listed for command in COMMANDS)
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("hdfsd 0.")
    assert main(["frobnicate"]) == 1
    assert "frobnicate: unknown command" in capsys.readouterr().err


def test_a_command_without_its_module_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "COMMANDS", {"gone": ("hdfsd.cli.gone", "")})
    monkeypatch.setattr(cli, "set_up_logging", lambda level: None)
    assert main(["gone"]) == 1
    assert "hdfsd gone: not built" in capsys.readouterr().err


def test_every_word_has_its_module() -> None:
    missing = [module for module, _ in COMMANDS.values() if find_spec(module) is None]
    assert not missing
