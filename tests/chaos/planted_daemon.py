"""Adapter. hdfsd with one of the bugs that the simulator must find (tests/sim/planted.py).

    python planted_daemon.py BUG namenode ...

`make chaos PLANT=answer_before_the_quorum` shows whether the judge of the chaos finds it too.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hdfsd.cli.main import main

sys.path.insert(0, str(Path(__file__).parents[1] / "sim"))

import planted

if __name__ == "__main__":
    getattr(planted, sys.argv[1])(pytest.MonkeyPatch())
    sys.exit(main(sys.argv[2:]))
