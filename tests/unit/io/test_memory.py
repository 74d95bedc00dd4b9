"""Memory that was freed goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from hdfsd.io.memory import return_large_blocks

def resident_kib():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4

if sys.argv[1] == "returned":
    return_large_blocks()
# One block that is freed makes glibc keep blocks of its size for reuse.
bytes(1 << 20)
bytes(1 << 20)
before = resident_kib()
blocks = [b"x" * (1 << 20) for _ in range(32)]
last = b"y" * (100 << 10)
del blocks
print(resident_kib() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_large_blocks_do_not_stay() -> None:
    def kept_kib(how: str) -> int:
        command = [sys.executable, "-c", PROGRAM, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert kept_kib("returned") < 4096 < kept_kib("kept")
