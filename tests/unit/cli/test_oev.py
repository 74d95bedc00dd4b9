"""hdfsd oev: options as Hadoop's parser takes them, exit codes, and what stands in the file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from hdfsd.cli.oev import Options, main, parse

GOLDEN = Path(__file__).resolve().parents[2] / "golden/data"
EDITS = GOLDEN / "edits_0000000000000000331-0000000000000000382"
XML = GOLDEN / f"{EDITS.name}.xml.gz"

GOOD = [
    ("-i a -o b", Options("a", "b")),
    ("--inputFile a --outputFile b -v", Options("a", "b", verbose=True)),
    ("--i=a -ob -pstats -fr", Options("a", "b", "stats", fix_txids=True, recover=True)),
    ("-i a -o b --fix-txids --processor binary", Options("a", "b", "binary", fix_txids=True)),
    ("-h -i a", Options("a", help=True)),
    ("-i a extra -o b", Options("a", "b")),
]
BAD = [
    ("-i a", "Missing required option: o"),
    ("-v", "Missing required options: o, i"),
    ("-i a -o", "Missing argument for option: o"),
    ("-i -o b", "Missing argument for option: i"),
    ("-i a -o b --bogus", "Unrecognized option: --bogus"),
    ("-i a -o b -x", "Unrecognized option: -x"),
]


@pytest.mark.parametrize(("words", "options"), GOOD)
def test_options(words: str, options: Options) -> None:
    assert parse(words.split()) == options


@pytest.mark.parametrize(("words", "text"), BAD)
def test_bad_options_show_the_usage(
    words: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 255
    out = capsys.readouterr().out
    assert out.startswith(f"Error parsing command-line options: {text}\nUsage: ")


@pytest.mark.parametrize(("words", "code"), [("", 0), ("-h", 0), ("--HELP", 0), ("-h -v", 255)])
def test_help(words: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == code
    assert capsys.readouterr().out.startswith("Usage: hdfsd oev")


def test_both_directions(tmp_path: Path) -> None:
    document, back = tmp_path / "e.XML", tmp_path / "back"
    assert main(["-i", str(EDITS), "-o", str(document)]) == 0
    assert document.read_bytes() == gzip.decompress(XML.read_bytes())
    assert main(["-p", "Binary", "-i", str(document), "-o", str(back)]) == 0
    assert back.read_bytes() == EDITS.read_bytes()


def test_statistics_of_both_forms_are_the_same(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "e.xml"
    document.write_bytes(gzip.decompress(XML.read_bytes()))
    one, other = tmp_path / "1", tmp_path / "2"
    assert main(["-v", "-p", "stats", "-i", str(EDITS), "-o", str(one)]) == 0
    assert main(["-p", "stats", "-i", str(document), "-o", str(other)]) == 0
    assert one.read_text() == other.read_text()
    shown = capfd.readouterr().out
    assert shown == f"input  [{EDITS}]\noutput [{one}]\n{one.read_text()}"


def damaged(tmp_path: Path) -> Path:
    path = tmp_path / "damaged"
    data = bytearray(EDITS.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    return path


def test_damage_ends_the_file_with_its_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "e.xml"
    assert main(["-i", str(damaged(tmp_path)), "-o", str(document)]) == 255
    said = capsys.readouterr().err
    assert said.startswith("Encountered exception. Exiting: ")
    assert "the checksum of op" in said
    assert "</EDITS><ERROR>" in document.read_text()


def test_recovery_skips_the_damage(tmp_path: Path) -> None:
    document, back = tmp_path / "e.xml", tmp_path / "back.xml"
    path = damaged(tmp_path)
    assert main(["-r", "-f", "-i", str(path), "-o", str(document)]) == 0
    assert main(["-i", str(EDITS), "-o", str(back)]) == 0
    count = back.read_text().count("<RECORD>")
    assert document.read_text().count("<RECORD>") == count - 1
    assert f"<TXID>{331 + count - 2}</TXID>" in document.read_text()


REFUSED = [
    ("-p foo -i {edits} -o {out}", "Unknown processor foo (valid processors: xml, binary, stats)"),
    ("-p binary -i {edits} -o {out}", "Binary format input file is not allowed"),
    ("-p xml -i {xml} -o {out}", "XML format input file is not allowed"),
    ("-i {none} -o {out}", "No such file or directory"),
    ("-i {empty} -o {out}", "the header of the segment is cut short: 0 bytes"),
    ("-i {edits} -o {none}/x", "No such file or directory"),
    ("-i {edits} -o {edits}", "is the input file too"),
]


@pytest.mark.parametrize(("words", "text"), REFUSED)
def test_refusals(
    words: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edits = tmp_path / "edits"
    edits.write_bytes(EDITS.read_bytes())
    names = {name: tmp_path / name for name in ("out", "none", "empty")}
    names["empty"].write_bytes(b"")
    filled = words.format(edits=edits, xml=tmp_path / "e.xml", **names)
    assert main(filled.split()) == 255
    assert text in capsys.readouterr().err
    assert edits.read_bytes() == EDITS.read_bytes()
