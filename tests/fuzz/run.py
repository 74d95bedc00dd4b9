"""Adapter. Coverage-guided fuzzing with atheris: bytes in, only our own errors out.

    python tests/fuzz/run.py --seconds 30 [edits] [journal]

Each target runs in a process of its own. A finding is kept in tests/fuzz/findings (or --keep);
mended, it becomes a file of tests/fuzz/cases/<target>, which test_cases.py replays for ever.
"""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

FUZZ = Path(__file__).resolve().parent
sys.path.insert(0, str(FUZZ))
TARGETS = {"edits": "edits_target", "journal": "journal_target"}
INSTRUMENTED = {"edits": ["hdfsd.editlog"], "journal": ["hdfsd.journal", "hdfsd.rpc"]}
INPUT_BYTES_MAX = {"edits": 8192, "journal": 1024}


def fuzz(target: str, arguments: Sequence[str]) -> None:
    """In the child: never returns."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED[target]):
        run = importlib.import_module(TARGETS[target]).run
    atheris.Setup([sys.argv[0], *arguments], lambda data: run(bytes(data)))
    atheris.Fuzz()


def supervise(target: str, seconds: int, keep: Path, seed: int) -> bool:
    """Whether nothing was found; says what was done."""
    corpus = importlib.import_module("corpus")
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{target}-") as directory:
        for number, data in enumerate(getattr(corpus, target)()):
            (Path(directory) / f"seed{number}").write_bytes(data)
        for path in corpus.cases(target):
            (Path(directory) / path.name).write_bytes(path.read_bytes())
        done = subprocess.run(
            [
                *(sys.executable, __file__, "--child", target, directory),
                f"-max_total_time={seconds}",
                f"-seed={seed}",
                f"-max_len={INPUT_BYTES_MAX[target]}",
                f"-artifact_prefix={keep}/{target}-",
                *("-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds + 300,
            check=False,
        )
    sys.stdout.write(f"{target}: {summary(done.stdout)}\n")
    if done.returncode != 0:
        sys.stdout.write(done.stdout[-6000:])
    return done.returncode == 0


def summary(said: str) -> str:
    """Runs, edges and inputs that libFuzzer reported last."""
    runs = re.findall(r"stat::number_of_executed_units:\s+(\d+)", said)
    last = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", said)
    edges, _, corpus = last[-1] if last else ("?", "?", "?")
    return f"{runs[-1] if runs else '?'} inputs, {edges} edges, corpus of {corpus}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="per target")
    parser.add_argument("--seed", type=int, default=0, help="of chance; 0: another every time")
    parser.add_argument("--keep", type=Path, default=FUZZ / "findings")
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET")
    options = parser.parse_args()
    clean = [
        supervise(target, options.seconds, options.keep, options.seed) for target in options.targets
    ]
    return 0 if all(clean) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        fuzz(sys.argv[2], sys.argv[3:])
    sys.exit(main())
