"""Adapter. Inputs to begin with: real files and real requests."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

from hdfsd.rpc.connection import ClientConnection
from hdfsd.wire.messages import qjournal
from hdfsd.wire.services import PROTOCOLS, QJOURNAL_PROTOCOL

FUZZ = Path(__file__).parent
GOLDEN = FUZZ.parent / "golden/data"
CASES = FUZZ / "cases"
EDITS_BYTES_MAX = 8192
"""Fuzzing is fastest with short inputs; the head of a segment has every kind of op that it has."""


def edits() -> Iterator[bytes]:
    for path in sorted(GOLDEN.glob("*edits*")):
        if path.name.endswith(".xml.gz"):
            continue
        data = path.read_bytes()
        yield (gzip.decompress(data) if path.suffix == ".gz" else data)[:EDITS_BYTES_MAX]
    yield (GOLDEN / "all-opcodes.edits").read_bytes()


def journal() -> Iterator[bytes]:
    """Programs of journal_target, and connections as bytes."""
    # format, newEpoch, start 1, journal 1..3 (segment 1), finalize 1-3, start 4, journal, restart,
    # newEpoch, prepare 4, accept 4..6, finalize.
    life = [0, 1, 0, 1, 0, 0, 2, 1, 1, 3, 1, 1, 3, 0, 1, 4, 1, 1, 3, 2, 1, 4, 3, 4, 4, 3, 0, 1]
    recovery = [11, 1, 0, 0, 5, 1, 4, 6, 4, 6, 1, 0, 1, 4, 1, 4, 6]
    yield bytes([1, *life])
    yield bytes([1, *life, *recovery])
    yield bytes([1, *life, *recovery, 7, 1, 4, 9, 1, 1, 10, 4, 3, 8, 7])
    for method in sorted(PROTOCOLS[QJOURNAL_PROTOCOL].methods):
        yield bytes([1, 0, 1, 0, 13, sorted(PROTOCOLS[QJOURNAL_PROTOCOL].methods).index(method)])
    request = qjournal.GetJournalStateRequestProto()
    request.jid.identifier = "ns"
    client = ClientConnection(bytes(16))
    opening = client.opening(QJOURNAL_PROTOCOL, "root", None)
    method_of = PROTOCOLS[QJOURNAL_PROTOCOL].methods["getJournalState"]
    call = client.request(method_of, request.SerializeToString(), call_id=0)
    yield bytes([0, 0, 255]) + call * 2
    yield bytes([0, 1, 40]) + opening + call


def cases(target: str) -> list[Path]:
    """Inputs that once were findings."""
    return sorted((CASES / target).glob("*"))
