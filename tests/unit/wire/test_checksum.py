from __future__ import annotations

import zlib

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfsd.base.errors import CorruptData, PeerError
from hdfsd.wire.checksum import (
    BYTES_PER_CHECKSUM_MAX,
    META_HEADER_BYTES,
    ChecksumType,
    ChunkChecksum,
    block_md5,
)

KINDS = [ChecksumType.CRC32, ChecksumType.CRC32C]
CHUNKS = [1, 16, 512, 4096, 9000]


def plain_crcs(checksum: ChunkChecksum, data: bytes) -> bytes:
    """What the checksums are, said without any cleverness."""
    function = zlib.crc32 if checksum.kind is ChecksumType.CRC32 else google_crc32c.value
    step = checksum.bytes_per_checksum
    return b"".join(
        function(data[i : i + step]).to_bytes(4, "big") for i in range(0, len(data), step)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", CHUNKS)
@given(data=st.binary(max_size=3000), repeat=st.integers(1, 60))
def test_folded_checksums_are_the_plain_ones(
    kind: ChecksumType, chunk: int, data: bytes, repeat: int
) -> None:
    checksum = ChunkChecksum(kind, chunk)
    whole = data * repeat if chunk > 1 else data
    crcs = checksum.crcs(whole)
    assert crcs == plain_crcs(checksum, whole)
    assert checksum.first_mismatch(whole, crcs) is None
    assert checksum.composite(crcs, len(whole)) == checksum.crc(whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [16, 512, 9000])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_is_found_in_its_chunk(
    kind: ChecksumType, chunk: int, where: float, bit: int
) -> None:
    checksum = ChunkChecksum(kind, chunk)
    data = bytearray(b"0123456789abcdef" * 5000)
    crcs = checksum.crcs(data)
    at = int(where * len(data))
    data[at] ^= 1 << bit
    assert checksum.first_mismatch(data, crcs) == at // chunk


@given(where=st.floats(0, 1, exclude_max=True))
def test_a_wrong_checksum_is_found_too(where: float) -> None:
    checksum = ChunkChecksum()
    data = b"z" * 100_001
    crcs = bytearray(checksum.crcs(data))
    at = int(where * len(crcs))
    crcs[at] ^= 1
    assert checksum.first_mismatch(data, crcs) == at // 4


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda d: memoryview(bytearray(d))])
def test_any_kind_of_buffer_will_do(make: type) -> None:
    checksum, data = ChunkChecksum(), b"x" * 70_000
    assert checksum.first_mismatch(make(data), make(checksum.crcs(data))) is None


def test_known_values() -> None:
    assert ChunkChecksum(ChecksumType.CRC32C).crc(b"123456789") == 0xE3069283
    assert ChunkChecksum(ChecksumType.CRC32).crc(b"123456789") == 0xCBF43926


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="8 bytes of checksums for 512"):
        ChunkChecksum().first_mismatch(b"x" * 512, b"y" * 8)
    with pytest.raises(ValueError, match="bytes of checksums"):
        ChunkChecksum().composite(b"", 5)


def test_null_checksums_have_no_bytes_and_no_opinion() -> None:
    null = ChunkChecksum(ChecksumType.NULL)
    assert null.crcs(b"abc") == b""
    assert null.first_mismatch(b"abc", b"") is None
    with pytest.raises(ValueError, match="bytes of checksums"):
        null.composite(b"", 3)


def test_places_in_the_meta_file() -> None:
    checksum = ChunkChecksum()
    assert checksum.meta_bytes(1500) == 19
    assert [checksum.crc_offset(at) for at in (0, 511, 512, 1024)] == [7, 7, 11, 15]
    assert checksum.chunk_start(1023) == 512


def test_meta_header_round_trip_and_errors() -> None:
    for kind in ChecksumType:
        checksum = ChunkChecksum(kind, 4096)
        header = checksum.meta_header()
        assert len(header) == META_HEADER_BYTES
        assert ChunkChecksum.of_meta_header(header, "blk.meta") == checksum
    assert ChunkChecksum().meta_header() == bytes.fromhex("00010200000200")
    for size in range(META_HEADER_BYTES):
        with pytest.raises(CorruptData, match=rf"blk.meta at offset {size}"):
            ChunkChecksum.of_meta_header(bytes(7)[:size], "blk.meta")


@pytest.mark.parametrize(
    ("header", "cause"),
    [
        ("00020200000200", "meta version 2"),
        ("00010900000200", "checksum type 9"),
        ("00010200000000", "0 bytes per checksum"),
        ("000102ffffffff", "-1 bytes per checksum"),
        ("0001027fffffff", "2147483647 bytes per checksum"),
    ],
)
def test_bad_meta_headers_say_why(header: str, cause: str) -> None:
    with pytest.raises(CorruptData, match=cause):
        ChunkChecksum.of_meta_header(bytes.fromhex(header), "blk.meta")


def test_bad_requests_are_the_peers_fault() -> None:
    for kind, size in ((9, 512), (2, 0), (2, BYTES_PER_CHECKSUM_MAX + 1)):
        with pytest.raises(PeerError):
            ChunkChecksum.checked(kind, size)


def test_meta_files_that_hadoop_wrote(pytestconfig: pytest.Config) -> None:
    root = pytestconfig.rootpath / "tests/golden/data/datanode/current"
    metas = sorted(root.glob("BP-*/current/finalized/**/*.meta"))
    if not metas:
        pytest.skip("the golden DataNode directory is not in this checkout")
    for meta in metas:
        data = (meta.parent / meta.name.rpartition("_")[0]).read_bytes()
        stored = meta.read_bytes()
        checksum = ChunkChecksum.of_meta_header(stored, str(meta))
        assert checksum.first_mismatch(data, stored[META_HEADER_BYTES:]) is None, meta
        assert len(stored) == checksum.meta_bytes(len(data))


def test_block_md5() -> None:
    assert block_md5(b"").hex() == "d41d8cd98f00b204e9800998ecf8427e"
