"""Adapter. A part of a core for each of some processes, so that cores are free for all of them.

With fewer cores than servers, what a second server adds can't be seen; with a small quota for each
(cgroups of Linux, version 1) every server has a core of its own, only a slower one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

GROUPS = Path("/sys/fs/cgroup/cpu")
PERIOD_US = 20_000
EMPTY_S = 10.0


@contextmanager
def cores(pids: Sequence[int], share: float) -> Iterator[None]:
    """Each process has `share` of a core and no more. SystemExit where groups can't be made."""
    if not (GROUPS / "cpu.shares").exists():
        raise SystemExit(f"{GROUPS} has no cpu.shares: this needs cgroups of version 1, and root")
    made = [GROUPS / f"hdfsd-bench-{pid}" for pid in pids]
    try:
        for group, pid in zip(made, pids, strict=True):
            group.mkdir()
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(round(PERIOD_US * share)))
            # Whoever else runs on this machine must not take what the quota grants.
            (group / "cpu.shares").write_text("262144")
            (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for group in made:
            if group.exists():
                _remove(group)


def _remove(group: Path) -> None:
    """Its processes go back to the common group; the kernel may need a moment."""
    for pid in (group / "cgroup.procs").read_text().split():
        (GROUPS / "cgroup.procs").write_text(pid)
    end = monotonic() + EMPTY_S
    while True:
        try:
            group.rmdir()
            return
        except OSError:
            if monotonic() > end:
                raise
            sleep(0.01)
