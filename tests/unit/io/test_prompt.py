from __future__ import annotations

import io

import pytest

from hdfsd.io.prompt import confirm


@pytest.mark.parametrize(
    ("typed", "answer", "asked"),
    [
        ("y\n", True, 1),
        ("YES\n", True, 1),
        ("n\n", False, 1),
        ("No\n", False, 1),
        ("", False, 1),
        ("perhaps\ny\n", True, 2),
        ("\n\nn\n", False, 3),
    ],
)
def test_answers(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    answer: bool,
    asked: int,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert confirm("Proceed?") is answer
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("Proceed? (Y or N) ") == asked
    assert said.err.count("Invalid input: ") == asked - 1
