"""Adapter. What lies in the journals when all is over: which calls, and whether copies agree."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from hdfsd.editlog.codec import iter_ops
from hdfsd.editlog.files import parse_segment
from hdfsd.editlog.segment import read_header

Copies = dict[str, dict[str, list[Path]]]
"""Segment name → digest of its bytes → the files."""


def finalized_copies(journal_dirs: Iterator[Path]) -> Copies:
    """Of every finalized segment."""
    found: Copies = {}
    for directory in journal_dirs:
        for path in sorted(directory.glob("*/current/edits_*-*")):
            segment = parse_segment(path.name)
            if segment is None or segment.last_txid is None:
                continue
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found.setdefault(path.name, {}).setdefault(digest, []).append(path)
    return found


def logged_calls(copies: Copies) -> Iterator[tuple[str, int]]:
    """(client id and call id, txid) of each logged call that carries them."""
    for name in sorted(copies):
        path = next(iter(copies[name].values()))[0]
        data = path.read_bytes()
        layout_version, offset = read_header(data, str(path))
        for op, txid in iter_ops(data, layout_version, offset, str(path)):
            client_id = getattr(op, "client_id", b"")
            if client_id:
                yield f"{client_id.hex()}/{getattr(op, 'call_id', -2)}", int(txid)
