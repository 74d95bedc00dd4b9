"""Style is a test: grades and imports, modules and their tests, leftovers (style.md, habit 12)."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src/hdfsd"
UNIT_TESTS = ROOT / "tests/unit"

GRADES = ("Data", "Core", "Driver", "Adapter")
WORLD = frozenset(
    {
        *("asyncio", "socket", "socketserver", "select", "selectors", "ssl"),
        *("time", "random", "os", "threading", "multiprocessing", "subprocess", "signal"),
        *("logging", "shutil", "tempfile", "pathlib"),
        *("kazoo", "aiohttp", "uvloop", "hdfs_native"),
    }
)
FORBIDDEN = {
    # A core decides and never touches the world, nor waits, nor rolls dice of its own.
    "Data": WORLD,
    "Core": WORLD,
    # A driver waits with asyncio and logs; whatever else it needs comes through a port.
    "Driver": WORLD - {"asyncio", "logging"},
}
ALLOWED = {
    # Ports speak of asyncio's protocols in their types: they describe the world.
    "ports": frozenset({"asyncio"}),
    # The simulated world rolls seeded dice of its own.
    "sim": frozenset({"random"}),
}
BANNED_NAMES = {"util", "utils", "helper", "helpers", "impl", "common", "misc"}
LEFTOVER = re.compile(
    r"\b(TODO|FIXME|XXX|HACK)\b|\bbreakpoint\(|\bpdb\b|^<{7} |^>{7} ", re.MULTILINE
)
BANNED_CALLS = {
    "asyncio.get_event_loop": "asyncio.get_running_loop",
    "asyncio.create_task": "a TaskGroup of the daemon, or loop.create_task with its owner named",
    "datetime.utcnow": "the clock port",
    "time.time": "the clock port",
}


def modules() -> Iterator[Path]:
    for path in sorted(SOURCE.rglob("*.py")):
        if "pb" not in path.relative_to(SOURCE).parts:
            yield path


MODULES = list(modules())


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def grade_of(path: Path) -> str:
    """The first word of the module's docstring."""
    text = ast.get_docstring(tree_of(path)) or ""
    return text.partition(".")[0]


def imported_roots(path: Path) -> set[str]:
    """Top-level names of all imports that run, wherever in the file they stand."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


def dotted_calls(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if isinstance(node.func.value, ast.Name):
                yield node.lineno, f"{node.func.value.id}.{node.func.attr}"


def problems(check: Callable[[Path], Iterator[str]], paths: Iterable[Path] = MODULES) -> str:
    """All complaints of a check, one per line, each with its file."""
    return "\n".join(
        f"{path.relative_to(ROOT)}: {complaint}" for path in paths for complaint in check(path)
    )


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 50


def test_first_word_is_a_grade_and_imports_keep_it() -> None:
    def check(path: Path) -> Iterator[str]:
        grade = grade_of(path)
        if grade not in GRADES:
            yield f"the docstring begins with {grade!r}, not with a grade"
        allowed = ALLOWED.get(path.parent.name, frozenset())
        wrong = imported_roots(path) & FORBIDDEN.get(grade, frozenset()) - allowed
        if wrong:
            yield f"{grade} imports {sorted(wrong)}: ask a port, or have it passed in"

    assert not problems(check)


def test_cores_and_data_have_their_test_file() -> None:
    def check(path: Path) -> Iterator[str]:
        room = path.parent.name
        if grade_of(path) in ("Core", "Data") and path.stem != "__init__" and room != "ports":
            expected = UNIT_TESTS / room / f"test_{path.stem}.py"
            if not expected.exists():
                yield f"{expected.relative_to(ROOT)} is missing"

    assert not problems(check)


def test_names_say_something() -> None:
    def check(path: Path) -> Iterator[str]:
        if path.stem in BANNED_NAMES:
            yield "says nothing: name what is in it"
        if SOURCE not in (path.parent, path.parent.parent):
            yield "rooms have no rooms inside"

    assert not problems(check)


def test_nothing_is_left_over() -> None:
    def check(path: Path) -> Iterator[str]:
        text = path.read_text()
        for found in LEFTOVER.finditer(text):
            yield f"line {text[: found.start()].count(chr(10)) + 1}: {found[0]!r}"

    assert not problems(check, [*MODULES, *unit_tests()])


def test_banned_calls() -> None:
    def check(path: Path) -> Iterator[str]:
        if grade_of(path) != "Adapter":
            for line, name in dotted_calls(path):
                if name in BANNED_CALLS:
                    yield f"line {line}: {name}: use {BANNED_CALLS[name]}"

    assert not problems(check)


def unit_tests() -> list[Path]:
    return sorted(UNIT_TESTS.rglob("test_*.py"))


def test_unit_tests_belong_to_a_module() -> None:
    # test_<module>.py, or test_<module>_<aspect>.py beside it.
    known = {(path.parent.name, path.stem) for path in MODULES}
    strays = []
    for path in unit_tests():
        words = path.stem.removeprefix("test_").split("_")
        names = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
        if not any((path.parent.name, name) in known for name in names):
            strays.append(str(path.relative_to(ROOT)))
    assert not strays, f"no module of that name in the room: {strays}"


def test_nothing_sleeps_to_synchronise_in_unit_tests() -> None:
    sleepers = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in unit_tests()
        for line, name in dotted_calls(path)
        if name == "time.sleep"
    ]
    assert not sleepers, f"wait for the thing itself: {sleepers}"
