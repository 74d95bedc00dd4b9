"""`hdfsd oev` beside Hadoop's OfflineEditsViewer: the same bytes in every direction.

Hadoop can't write back a truncation within a block (it looks for the block in the wrong element)
nor the two quota ops that it no longer writes; ours can, so those are left out here.
"""

from __future__ import annotations

import gzip
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hadoop import OEV, Hadoop, write_conf

from hdfsd.cli.oev import main

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

GOLDEN = Path(__file__).resolve().parents[1] / "golden/data"
SEGMENTS = (
    "all-opcodes.edits",
    "edits_compressed",
    "edits_plain",
    "edits_0000000000000000001-0000000000000000330",
    "edits_0000000000000000331-0000000000000000382",
    "edits_inprogress_0000000000000000383",
)
RECORD = re.compile("  <RECORD>.*?  </RECORD>\n", re.DOTALL)
NOT_WRITTEN_BY_HADOOP = re.compile(
    "OP_SET_NS_QUOTA|OP_CLEAR_NS_QUOTA|OP_TRUNCATE.*<BLOCK>", re.DOTALL
)


class Pair:
    """Both viewers, run on the same input."""

    def __init__(self, lib: Path, root: Path) -> None:
        self.root = root
        self._hadoop = Hadoop(lib, root)
        self._conf = write_conf(root / "conf", {}, {})

    def hadoop(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return self._hadoop.run(self._conf, OEV, *words)

    def same(self, source: Path, processor: str, *flags: str) -> bytes:
        """What both write from `source`."""
        theirs, ours = self.root / "theirs", self.root / "ours"
        words = (*flags, "-p", processor, "-i", str(source), "-o")
        done = self.hadoop(*words, str(theirs))
        assert done.returncode == 0, done.stderr.decode()
        assert main([*words, str(ours)]) == 0
        assert ours.read_bytes() == theirs.read_bytes()
        return ours.read_bytes()


@pytest.fixture(scope="module")
def pair(hadoop_lib: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    # The viewer reads XML in the encoding of the locale before Java 18.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LC_ALL", "C.UTF-8")
        yield Pair(hadoop_lib, tmp_path_factory.mktemp("oev"))


def segment_of(name: str, root: Path) -> Path:
    packed = GOLDEN / f"{name}.gz"
    path = root / name
    path.write_bytes(
        gzip.decompress(packed.read_bytes()) if packed.exists() else (GOLDEN / name).read_bytes()
    )
    return path


def document_of(segment: Path, root: Path) -> Path:
    """Its XML, without the records that Hadoop can't write back."""
    path = root / f"{segment.name}.xml"
    assert main(["-i", str(segment), "-o", str(path)]) == 0
    text = path.read_text()
    kept = [r for r in RECORD.findall(text) if not NOT_WRITTEN_BY_HADOOP.search(r)]
    path.write_text(text[: text.index("  <RECORD>")] + "".join(kept) + "</EDITS>\n")
    return path


@pytest.mark.parametrize("name", SEGMENTS)
def test_binary_to_xml_and_back_and_statistics(pair: Pair, name: str, tmp_path: Path) -> None:
    segment = segment_of(name, tmp_path)
    assert pair.same(segment, "xml").startswith(b"<?xml")
    counts = pair.same(segment, "stats")
    document = document_of(segment, tmp_path)
    written = pair.same(document, "binary")
    if len(RECORD.findall(document.read_text())) == counts_total(counts):
        assert pair.same(document, "stats") == counts
    assert written.startswith(b"\xff\xff\xff\xbd\0\0\0\0")


def counts_total(counts: bytes) -> int:
    return sum(int(line.rpartition(b":")[2]) for line in counts.splitlines()[1:])


def test_renumbered(pair: Pair, tmp_path: Path) -> None:
    document = document_of(segment_of("all-opcodes.edits", tmp_path), tmp_path)
    plain = pair.same(document, "binary")
    assert pair.same(document, "binary", "-f") != plain


def test_what_is_left_behind_damage(pair: Pair, tmp_path: Path) -> None:
    segment = segment_of("all-opcodes.edits", tmp_path)
    data = bytearray(segment.read_bytes())
    data[2000] ^= 0xFF
    segment.write_bytes(data)
    left = pair.same(segment, "xml", "-r")
    assert left.count(b"<RECORD>") == 78
    pair.same(segment, "xml", "--recover", "--fix-txids")


def test_refusals_have_the_same_code_and_words(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segment = segment_of("edits_plain", tmp_path)
    xml = tmp_path / "e.xml"
    out = str(tmp_path / "out")
    for words in (
        ["-p", "binary", "-i", str(segment), "-o", out],
        ["-p", "xml", "-i", str(xml), "-o", out],
        ["-p", "foo", "-i", str(segment), "-o", out],
        ["-i", str(segment)],
        ["-i", str(segment), "-o"],
        ["--bogus", "-i", str(segment), "-o", out],
    ):
        theirs = pair.hadoop(*words)
        code = main(words)
        said = capsys.readouterr()
        assert code == theirs.returncode, words
        assert said.err.splitlines()[:1] == theirs.stderr.decode().splitlines()[:1], words
        assert said.out.splitlines()[:1] == theirs.stdout.decode().splitlines()[:1], words
