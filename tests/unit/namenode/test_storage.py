import asyncio
import hashlib
import pathlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import pytest

from hdfsd.base.errors import CorruptData, OutcomeUnknown, StorageError
from hdfsd.base.ids import NamespaceInfo, StorageInfo, TxId
from hdfsd.io.disk import RealDisk
from hdfsd.namenode.incoming import Announced
from hdfsd.namenode.storage import NameStorage, Retention
from hdfsd.ports.snapshot import WrittenFile

INFO = NamespaceInfo(StorageInfo(-67, 77, 1234, "CID-x"), "BP-1-127.0.0.1-1234")


class InlineWriter:
    """Writes in this process: what a fork would see is what we see."""

    async def write(
        self, paths: Sequence[str], chunks: Callable[[], Iterator[bytes]]
    ) -> WrittenFile:
        data = b"".join(chunks())
        for path in paths:
            pathlib.Path(path).write_bytes(data)
        return WrittenFile(len(data), hashlib.md5(data).hexdigest())


def storage(tmp_path: pathlib.Path, count: int = 2) -> NameStorage:
    dirs = [str(tmp_path / f"d{i}") for i in range(count)]
    return NameStorage(disk=RealDisk(), image_dirs=dirs, edits_dirs=dirs)


def formatted(tmp_path: pathlib.Path, count: int = 2) -> NameStorage:
    made = storage(tmp_path, count)
    asyncio.run(made.format(INFO, "a date"))
    return made


async def body(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 7):
        yield data[start : start + 7]


async def at_once() -> None:
    """Everything is durable already."""


def save(made: NameStorage, txid: int, data: bytes = b"image") -> None:
    saving = made.save_image(
        TxId(txid), lambda: iter([data]), InlineWriter(), before_publishing=at_once
    )
    asyncio.run(saving)


def test_an_image_is_none_before_it_may_be_published(tmp_path: pathlib.Path) -> None:
    made = formatted(tmp_path, 1)

    async def never() -> None:
        raise OSError("the journal is lost")

    with pytest.raises(OSError, match="journal is lost"):
        asyncio.run(
            made.save_image(
                TxId(5), lambda: iter([b"five"]), InlineWriter(), before_publishing=never
            )
        )
    assert made.images() == []


def test_format_then_read(tmp_path: pathlib.Path) -> None:
    made = formatted(tmp_path)
    assert made.read_info() == INFO
    assert made.read_seen_txid() == 0
    assert len(made.has_data()) == 2
    asyncio.run(made.write_seen_txid(TxId(42)))
    assert made.read_seen_txid() == 42


def test_an_unformatted_directory_says_what_to_do(tmp_path: pathlib.Path) -> None:
    with pytest.raises(StorageError, match=r"not formatted.*-format.*-bootstrapStandby"):
        storage(tmp_path).read_info()


def test_directories_of_two_namespaces_are_refused(tmp_path: pathlib.Path) -> None:
    made = formatted(tmp_path)
    version = tmp_path / "d1/current/VERSION"
    version.write_text(version.read_text().replace("namespaceID=77", "namespaceID=78"))
    with pytest.raises(StorageError, match=r"d1 holds namespace -67:78"):
        made.read_info()


@pytest.mark.parametrize(
    ("old", "new", "kind", "match"),
    [
        ("storageType=NAME_NODE", "storageType=DATA_NODE", CorruptData, "DATA_NODE"),
        ("layoutVersion=-67", "layoutVersion=-40", StorageError, "upgrade"),
        ("layoutVersion=-67", "layoutVersion=x", CorruptData, "not a number"),
        ("clusterID=CID-x", "", CorruptData, "clusterID is missing"),
    ],
)
def test_a_wrong_version_file(
    tmp_path: pathlib.Path, old: str, new: str, kind: type[Exception], match: str
) -> None:
    made = formatted(tmp_path, 1)
    version = tmp_path / "d0/current/VERSION"
    version.write_text(version.read_text().replace(old, new))
    with pytest.raises(kind, match=match):
        made.read_info()


def test_images_newest_first_with_their_digest(tmp_path: pathlib.Path) -> None:
    made = formatted(tmp_path)
    save(made, 5, b"five")
    save(made, 9, b"nine")
    assert [image.txid for image in made.images()] == [9, 5]
    newest = made.images()[0]
    assert made.read_image(newest) == b"nine"
    assert made.stored_md5(newest.path) == hashlib.md5(b"nine").hexdigest()
    assert (tmp_path / "d1/current/fsimage_0000000000000000009").read_bytes() == b"nine"


def test_an_image_that_changed_is_refused_and_kept(tmp_path: pathlib.Path) -> None:
    made = formatted(tmp_path)
    save(made, 5, b"five")
    path = tmp_path / "d0/current/fsimage_0000000000000000005"
    path.write_bytes(b"fife")
    with pytest.raises(CorruptData, match="MD5"):
        made.read_image(made.images()[0])
    assert path.read_bytes() == b"fife"
    (tmp_path / "d0/current/fsimage_0000000000000000005.md5").write_text("garbage")
    with pytest.raises(CorruptData, match="not `<md5>"):
        made.read_image(made.images()[0])


@pytest.mark.parametrize(
    ("size", "digest", "match"),
    [
        (11, None, "11 bytes were announced"),
        (9, None, "more than the announced 9"),
        (10, "0" * 32, "MD5"),
    ],
)
def test_a_received_image_must_be_what_was_announced(
    tmp_path: pathlib.Path, size: int, digest: str | None, match: str
) -> None:
    made = formatted(tmp_path)
    with pytest.raises(CorruptData, match=match):
        asyncio.run(made.receive_image(TxId(3), body(b"0123456789"), size=size, md5_hex=digest))
    assert made.images() == []
    assert [n for n in RealDisk().list(str(tmp_path / "d0/current")) if "ckpt" in n] == []


def test_a_good_received_image(tmp_path: pathlib.Path) -> None:
    made = formatted(tmp_path)
    digest = hashlib.md5(b"0123456789").hexdigest().upper()
    asyncio.run(made.receive_image(TxId(3), body(b"0123456789"), size=10, md5_hex=digest))
    assert made.read_image(made.images()[0]) == b"0123456789"


async def cut_after(data: bytes) -> AsyncIterator[bytes]:
    yield data
    raise OutcomeUnknown("the link is gone")


def left_over(where: pathlib.Path) -> list[str]:
    return [name for name in RealDisk().list(str(where / "d0/current")) if "ckpt" in name]


DIGITS = b"0123456789"
DIGITS_MD5 = hashlib.md5(DIGITS).hexdigest()


def break_off(made: NameStorage, txid: int = 3, md5_hex: str | None = DIGITS_MD5) -> None:
    with pytest.raises(OutcomeUnknown):
        asyncio.run(made.receive_image(TxId(txid), cut_after(DIGITS[:4]), size=10, md5_hex=md5_hex))


def test_an_upload_that_broke_off_goes_on_where_it_ended(tmp_path: pathlib.Path) -> None:
    made = formatted(tmp_path)
    break_off(made)
    announced = Announced(TxId(3), 10, DIGITS_MD5)
    assert made.kept_bytes(announced) == 4
    assert made.kept_bytes(Announced(TxId(4), 10, DIGITS_MD5)) == 0
    rest = body(DIGITS[4:])
    asyncio.run(made.receive_image(TxId(3), rest, size=10, md5_hex=DIGITS_MD5, offset=4))
    assert made.read_image(made.images()[0]) == DIGITS
    assert (made.kept_bytes(announced), left_over(tmp_path)) == (0, [])


@pytest.mark.parametrize("offset", [3, 5])
def test_nothing_goes_on_where_nothing_ended(tmp_path: pathlib.Path, offset: int) -> None:
    made = formatted(tmp_path)
    break_off(made)
    with pytest.raises(StorageError, match=r"no \d bytes are kept of the image of 3"):
        asyncio.run(
            made.receive_image(TxId(3), body(b"x"), size=10, md5_hex=DIGITS_MD5, offset=offset)
        )
    assert (made.images(), left_over(tmp_path)) == ([], [])


def test_one_that_does_not_say_what_it_is_is_not_kept(tmp_path: pathlib.Path) -> None:
    made = formatted(tmp_path)
    break_off(made, md5_hex=None)
    assert left_over(tmp_path) == []


def test_one_is_kept_at_most_and_none_that_is_older_than_an_image(tmp_path: pathlib.Path) -> None:
    made = formatted(tmp_path)
    break_off(made, 3)
    break_off(made, 6)
    assert left_over(tmp_path) == ["fsimage.ckpt_0000000000000000006"]
    save(made, 6)
    assert made.read_image(made.images()[0]) == b"image"
    break_off(made, 8)
    save(made, 9)
    retention = Retention(images=2, extra_edits_txns=0, extra_segments_max=100)
    asyncio.run(made.purge(retention))
    assert made.kept_bytes(Announced(TxId(8), 10, DIGITS_MD5)) == 0
    assert left_over(tmp_path) == []


def test_what_a_dead_process_began_goes_when_there_is_a_newer_image(
    tmp_path: pathlib.Path,
) -> None:
    made = formatted(tmp_path, 1)
    current = tmp_path / "d0/current"
    for txid in (7, 9, 11):
        (current / f"fsimage.ckpt_{txid:019d}").write_bytes(b"half")
    save(made, 10)
    made.being_written[TxId(9)] = "nn2"
    asyncio.run(made.purge(Retention(images=2, extra_edits_txns=0, extra_segments_max=100)))
    assert left_over(tmp_path) == [f"fsimage.ckpt_{txid:019d}" for txid in (9, 11)]


def test_an_image_is_not_written_twice_at_once(tmp_path: pathlib.Path) -> None:
    async def story(made: NameStorage) -> None:
        gate = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            await gate.wait()
            yield DIGITS

        first = asyncio.ensure_future(
            made.receive_image(TxId(3), slow(), size=10, md5_hex=DIGITS_MD5)
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert made.being_written == {3: "another NameNode"}
        with pytest.raises(StorageError, match="the image of 3 is being written already"):
            await made.receive_image(TxId(3), body(DIGITS), size=10, md5_hex=DIGITS_MD5)
        gate.set()
        await first
        assert made.being_written == {}

    made = formatted(tmp_path)
    asyncio.run(story(made))
    assert made.read_image(made.images()[0]) == DIGITS


class SlowToRename(RealDisk):
    """Its renames wait for `gate`."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.renaming = asyncio.Event(), asyncio.Event()

    async def rename(self, source: str, target: str) -> None:
        self.renaming.set()
        await self.gate.wait()
        await super().rename(source, target)


@pytest.mark.parametrize("saves", [False, True])
def test_an_image_is_being_written_until_it_has_its_name(
    tmp_path: pathlib.Path, saves: bool
) -> None:
    """A second one of the same name would take the first one's file away."""

    async def story() -> None:
        disk = SlowToRename()
        made = NameStorage(disk=disk, image_dirs=[str(tmp_path / "d0")], edits_dirs=[])
        if saves:
            first = made.save_image(
                TxId(3), lambda: iter([DIGITS]), InlineWriter(), before_publishing=at_once
            )
        else:
            first = made.receive_image(TxId(3), body(DIGITS), size=10, md5_hex=DIGITS_MD5)
        running = asyncio.ensure_future(first)
        await disk.renaming.wait()
        assert TxId(3) in made.being_written
        with pytest.raises(StorageError, match="being written already"):
            await made.receive_image(TxId(3), body(DIGITS), size=10, md5_hex=DIGITS_MD5)
        disk.gate.set()
        image = await running
        assert made.read_image(image) == DIGITS
        assert made.being_written == {}

    formatted(tmp_path, 1)
    asyncio.run(story())


def test_purge_keeps_two_images_and_the_edits_they_need(tmp_path: pathlib.Path) -> None:
    made = formatted(tmp_path, 1)
    current = tmp_path / "d0/current"
    for txid in (10, 20, 30):
        save(made, txid)
    for first, last in ((1, 10), (11, 20), (21, 30)):
        (current / f"edits_{first:019d}-{last:019d}").write_bytes(b"")
    (current / "edits_inprogress_0000000000000000031").write_bytes(b"")
    first_txid = asyncio.run(
        made.purge(Retention(images=2, extra_edits_txns=0, extra_segments_max=100))
    )
    assert first_txid == 21
    names = RealDisk().list(str(current))
    assert [n for n in names if n.startswith("fsimage") and "md5" not in n] == [
        "fsimage_0000000000000000020",
        "fsimage_0000000000000000030",
    ]
    assert [n for n in names if n.startswith("edits")] == [
        "edits_0000000000000000021-0000000000000000030",
        "edits_inprogress_0000000000000000031",
    ]


def test_extra_edits_are_kept_up_to_both_limits(tmp_path: pathlib.Path) -> None:
    made = formatted(tmp_path, 1)
    current = tmp_path / "d0/current"
    save(made, 50)
    for first in range(1, 50, 10):
        (current / f"edits_{first:019d}-{first + 9:019d}").write_bytes(b"")
    asyncio.run(made.purge(Retention(images=2, extra_edits_txns=35, extra_segments_max=2)))
    kept = [n for n in RealDisk().list(str(current)) if n.startswith("edits")]
    assert kept == [
        "edits_0000000000000000031-0000000000000000040",
        "edits_0000000000000000041-0000000000000000050",
    ]


def test_no_extra_segment_is_kept_when_none_is_wanted(tmp_path: pathlib.Path) -> None:
    made = formatted(tmp_path, 1)
    save(made, 20)
    for first in (1, 11):
        (tmp_path / f"d0/current/edits_{first:019d}-{first + 9:019d}").write_bytes(b"")
    asyncio.run(made.purge(Retention(images=1, extra_edits_txns=100, extra_segments_max=0)))
    assert [n for n in RealDisk().list(str(tmp_path / "d0/current")) if "edits" in n] == []


def test_a_failing_directory_is_set_aside_and_the_last_one_is_not(tmp_path: pathlib.Path) -> None:
    made = formatted(tmp_path)
    (tmp_path / "d0/current/seen_txid.tmp").mkdir()
    asyncio.run(made.write_seen_txid(TxId(7)))
    assert list(made.failed_dirs) == [str(tmp_path / "d0")]
    assert made.image_dirs == [str(tmp_path / "d1")]
    (tmp_path / "d1/current/seen_txid.tmp").mkdir()
    with pytest.raises(StorageError, match="every name directory has failed"):
        asyncio.run(made.write_seen_txid(TxId(8)))


def test_a_second_owner_is_refused(tmp_path: pathlib.Path) -> None:
    """The lock is the process's, so the second owner is a process of its own."""
    first = formatted(tmp_path)
    program = (
        "import sys; from hdfsd.io.disk import RealDisk\n"
        "try: RealDisk().lock(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "else: print('locked')"
    )

    def attempt() -> str:
        command = [sys.executable, "-c", program, str(tmp_path / "d1")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    first.lock()
    assert attempt().startswith("StorageError")
    first.unlock()
    assert attempt() == "locked\n"
