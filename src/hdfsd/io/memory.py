"""Adapter. What the C library does with memory that was freed (glibc's mallopt)."""

from __future__ import annotations

import ctypes

M_MMAP_THRESHOLD = -3
LARGE_BYTES = 128 << 10


def return_large_blocks() -> None:
    """Blocks from `LARGE_BYTES` on go back to the system when they are freed.

    glibc begins so too, but keeps ever larger ones for reuse once it has seen one: a daemon that
    once took a batch of a megabyte would be larger by several of them for good.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
