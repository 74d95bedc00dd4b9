import asyncio
import pathlib

import pytest

from hdfsd.base.ids import NamespaceInfo, StorageInfo, TxId
from hdfsd.editlog import codec, segment
from hdfsd.editlog.ops import DeleteOp, StartLogSegmentOp
from hdfsd.io.disk import RealDisk
from hdfsd.namenode.local_edits import EditsLost, LocalEdits
from hdfsd.namenode.storage import NameStorage

INFO = NamespaceInfo(StorageInfo(-67, 77, 1234, "CID-x"), "BP-1-127.0.0.1-1234")
FIRST = "edits_inprogress_0000000000000000005"


def frames(*txids: int) -> bytes:
    return b"".join(codec.encode(DeleteOp("/x", 1, b"", -2), t) for t in txids)


async def made(tmp_path: pathlib.Path, count: int = 2) -> tuple[LocalEdits, NameStorage]:
    dirs = [str(tmp_path / f"d{i}") for i in range(count)]
    storage = NameStorage(disk=RealDisk(), image_dirs=dirs, edits_dirs=dirs)
    await storage.format(INFO, "a date")
    return LocalEdits(disk=RealDisk(), storage=storage, directories_min=1), storage


def test_a_segment_is_preallocated_then_cut_to_size(tmp_path: pathlib.Path) -> None:
    async def run() -> None:
        edits, _ = await made(tmp_path)
        await edits.start_segment(TxId(5))
        path = tmp_path / "d1/current" / FIRST
        assert path.stat().st_size == 1 << 20
        data = codec.encode(StartLogSegmentOp(), 5) + frames(6, 7)
        await edits.write(data)
        assert path.read_bytes() == (segment.header() + data).ljust(1 << 20, b"\xff")
        await edits.finalize_segment(TxId(5), TxId(7))
        final = "edits_0000000000000000005-0000000000000000007"
        for directory in ("d0", "d1"):
            stored = (tmp_path / directory / "current" / final).read_bytes()
            assert stored == segment.header() + data

    asyncio.run(run())


def test_a_batch_larger_than_the_preallocation(tmp_path: pathlib.Path) -> None:
    async def run() -> None:
        edits, _ = await made(tmp_path, 1)
        await edits.start_segment(TxId(1))
        op = DeleteOp("/" + "x" * 60_000, 1, b"", -2)
        data = b"".join(codec.encode(op, txid) for txid in range(1, 41))
        await edits.write(data)
        stored = (tmp_path / "d0/current/edits_inprogress_0000000000000000001").read_bytes()
        assert stored[8 : 8 + len(data)] == data
        assert len(stored) % (1 << 20) == 0
        assert set(stored[8 + len(data) :]) <= {0xFF}
        edits.close()

    asyncio.run(run())


def test_recovery_finalises_empties_and_sets_aside(tmp_path: pathlib.Path) -> None:
    async def run() -> None:
        edits, _ = await made(tmp_path, 1)
        current = tmp_path / "d0/current"
        pad = b"\xff" * 100
        torn = frames(12)[:-1]
        (current / FIRST).write_bytes(segment.header() + frames(5, 6) + pad)
        (current / "edits_inprogress_0000000000000000009").write_bytes(segment.header() + pad)
        (current / "edits_inprogress_0000000000000000011").write_bytes(
            segment.header() + frames(11) + torn
        )
        (current / "edits_inprogress_0000000000000000020").write_bytes(b"\x00\x01")
        await edits.recover_unclosed()
        names = [n for n in RealDisk().list(str(current)) if n.startswith("edits")]
        assert names == [
            "edits_0000000000000000005-0000000000000000006",
            "edits_0000000000000000011-0000000000000000011",
            "edits_inprogress_0000000000000000009.empty",
            "edits_inprogress_0000000000000000020.corrupt",
        ]

    asyncio.run(run())


def test_one_failing_directory_is_left_out_the_last_one_stops_us(tmp_path: pathlib.Path) -> None:
    async def run() -> None:
        edits, storage = await made(tmp_path, 2)
        blocked = tmp_path / "d0/current" / FIRST
        blocked.mkdir()
        await edits.start_segment(TxId(5))
        assert list(storage.failed_dirs) == [str(tmp_path / "d0")]
        await edits.write(codec.encode(StartLogSegmentOp(), 5))
        await edits.finalize_segment(TxId(5), TxId(5))
        (tmp_path / "d1/current/edits_inprogress_0000000000000000006").mkdir()
        with pytest.raises(EditsLost, match=r"dfs\.namenode\.edits\.dir\.minimum"):
            await edits.start_segment(TxId(6))

    asyncio.run(run())
