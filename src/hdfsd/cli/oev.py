"""Adapter. `hdfsd oev`: an edit log as XML, statistics or binary (hadoop OfflineEditsViewer).

Options, texts and exit codes are Hadoop's; what is wrong with a file is said in our words, with its
offset or line. -1 leaves the process as 255.
"""

from __future__ import annotations

import logging
import mmap
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

from hdfsd.base.errors import CorruptData, HdfsdError
from hdfsd.base.ids import TxId
from hdfsd.cli.haadmin import GENERIC_USAGE
from hdfsd.editlog.from_xml import read_op
from hdfsd.editlog.ops import EditOp
from hdfsd.editlog.segment import read_header
from hdfsd.editlog.stanza import BadXml, DocumentReader
from hdfsd.editlog.views import (
    BinaryView,
    Renumbering,
    StatisticsView,
    View,
    XmlView,
    binary_ops,
    recovered_ops,
)
from hdfsd.io.site import generic_options

log = logging.getLogger(__name__)

FAILED = 255
PIECE_BYTES = 1 << 16
PROCESSORS: dict[str, Callable[[], View]] = {
    "xml": XmlView,
    "binary": BinaryView,
    "stats": StatisticsView,
}
USAGE = """\
Usage: hdfsd oev [OPTIONS] -i INPUT_FILE -o OUTPUT_FILE
Offline edits viewer: reads an edit log and writes it in another form.
  -i, --inputFile <arg>   the edit log; a name that ends in .xml (in any case) is
                          read as XML, every other as binary
  -o, --outputFile <arg>  where to write; an existing file is overwritten
  -p, --processor <arg>   what to write: xml (default), binary (from XML only),
                          or stats (how often each operation occurs)
  -h, --help              this text
  -f, --fix-txids         number the transactions anew, without gaps
  -r, --recover           go on behind damage in a binary log with the next good
                          operation
  -v, --verbose           name the files, and write to the screen as well
"""


class _BadOptions(Exception):
    """The command line can't be made sense of."""


@dataclass(slots=True)
class Options:
    input: str | None = None
    output: str | None = None
    processor: str = "xml"
    fix_txids: bool = False
    recover: bool = False
    verbose: bool = False
    help: bool = False

    @property
    def from_xml(self) -> bool:
        return self.input is not None and self.input.lower().endswith(".xml")


_LONG = {
    "outputFilename": "o",
    "inputFilename": "i",
    "processor": "p",
    "verbose": "v",
    "fix-txids": "f",
    "recover": "r",
    "help": "h",
}
_WITH_VALUE = {"i": "input", "o": "output", "p": "processor"}
_FLAGS = {"v": "verbose", "f": "fix_txids", "r": "recover", "h": "help"}


def parse(words: Sequence[str]) -> Options:
    """As commons-cli's PosixParser: long names may be cut short, short flags may be joined."""
    options, rest = Options(), list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            _take(options, word, _short_of(name, word), [value] if equals else rest)
        elif word.startswith("-") and len(word) > 1:
            _take_joined(options, word, rest)
    missing = [letter for letter in "oi" if not getattr(options, _WITH_VALUE[letter])]
    if missing and not options.help:
        many = "s" if len(missing) > 1 else ""
        raise _BadOptions(f"Missing required option{many}: {', '.join(missing)}")
    return options


def _take_joined(options: Options, word: str, rest: list[str]) -> None:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        if letter in _WITH_VALUE and letters:
            _take(options, word, letter, [letters.removeprefix("=")])
            return
        _take(options, word, letter, rest)


def _short_of(name: str, word: str) -> str:
    found = [letter for long, letter in _LONG.items() if name and long.startswith(name)]
    if len(found) != 1:
        raise _BadOptions(f"Unrecognized option: {word}")
    return found[0]


def _take(options: Options, word: str, letter: str, rest: list[str]) -> None:
    if letter in _FLAGS:
        setattr(options, _FLAGS[letter], True)
    elif letter not in _WITH_VALUE:
        raise _BadOptions(f"Unrecognized option: {word}")
    elif not rest or rest[0].startswith("-"):
        raise _BadOptions(f"Missing argument for option: {letter}")
    else:
        setattr(options, _WITH_VALUE[letter], rest.pop(0))


def main(arguments: Sequence[str]) -> int:
    words = generic_options(arguments).rest
    if not words or (len(words) == 1 and words[0].lower() in ("-h", "--help")):
        print(USAGE + GENERIC_USAGE)
        return 0
    try:
        options = parse(words)
    except _BadOptions as error:
        print(f"Error parsing command-line options: {error}")
        print(USAGE + GENERIC_USAGE)
        return FAILED
    if options.help:
        print(USAGE + GENERIC_USAGE)
        return FAILED
    processor = options.processor.lower()
    if options.from_xml and processor == "xml":
        print(
            "XML format input file is not allowed to be processed by XML processor.",
            file=sys.stderr,
        )
        return FAILED
    if not options.from_xml and processor == "binary":
        print(
            "Binary format input file is not allowed to be processed by Binary processor.",
            file=sys.stderr,
        )
        return FAILED
    return _go(options, processor)


def _go(options: Options, processor: str) -> int:
    assert options.input is not None
    assert options.output is not None
    if options.verbose:
        print(f"input  [{options.input}]\noutput [{options.output}]")
        sys.stdout.flush()
    try:
        if _same_file(options.input, options.output):
            raise _BadOptions(f"{options.output} is the input file too")
        make = PROCESSORS.get(processor)
        if make is None:
            raise _BadOptions(
                f"Unknown processor {options.processor} (valid processors: xml, binary, stats)"
            )
        with _source(options.input) as source, _output(options, processor) as write:
            _view(source, options, make(), write)
    except (HdfsdError, _BadOptions, OSError) as error:
        print(f"Encountered exception. Exiting: {_told(error)}", file=sys.stderr)
        return FAILED
    return 0


def _same_file(one: str, other: str) -> bool:
    return os.path.exists(other) and os.path.exists(one) and os.path.samefile(one, other)


def _told(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return str(error)


@contextmanager
def _source(path: str) -> Iterator[BinaryIO]:
    with open(path, "rb") as source:
        yield source


@contextmanager
def _output(options: Options, processor: str) -> Iterator[Callable[[bytes], None]]:
    """Writes to the file, and to the screen where that was asked for and can be read."""
    assert options.output is not None
    also_screen = options.verbose and processor != "binary"
    with open(options.output, "wb") as target:

        def write(data: bytes) -> None:
            target.write(data)
            if also_screen:
                sys.stdout.buffer.write(data)

        yield write
    if also_screen:
        sys.stdout.flush()


def _view(source: BinaryIO, options: Options, view: View, write: Callable[[bytes], None]) -> None:
    """The whole log through a view; an error ends up in the view too, then is raised."""
    read = _xml_ops if options.from_xml else _binary_ops
    numbers = Renumbering()
    started = False
    try:
        for found in read(source, options):
            if isinstance(found, int):
                write(view.start(found))
                started = True
                continue
            op, txid = found
            write(view.op(op, numbers.txid(txid) if options.fix_txids else txid))
    except HdfsdError as error:
        if started:
            write(view.close(_told(error)))
        raise
    write(view.close(None))


_Found = int | tuple[EditOp, TxId]
"""First the layout version, then the ops."""


def _binary_ops(source: BinaryIO, options: Options) -> Iterator[_Found]:
    where = source.name
    with _mapped(source) as data:
        layout_version, offset = read_header(data, where)
        yield layout_version
        if not options.recover:
            yield from binary_ops(data, layout_version, offset, where)
            return
        for found in recovered_ops(data, layout_version, offset, where):
            if isinstance(found, CorruptData):
                log.error("Got IOException while reading stream!  Resyncing. %s", found)
            else:
                yield found


@contextmanager
def _mapped(source: BinaryIO) -> Iterator[bytes]:
    """The file without reading it whole: a mapping gives slices as bytes do."""
    if source.seek(0, 2) == 0:
        yield b""
        return
    mapped = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        yield cast(bytes, mapped)
    finally:
        mapped.close()


def _xml_ops(source: BinaryIO, options: Options) -> Iterator[_Found]:
    document = DocumentReader(source.name)
    announced = False
    more = True
    while more:
        data = source.read(PIECE_BYTES)
        more = bool(data)
        records, damage = document.feed(data, last=not more)
        if document.layout_version is not None and not announced:
            announced = True
            yield document.layout_version
        for record in records:
            try:
                yield read_op(record)
            except BadXml as error:
                raise document.damage(f"{record.opcode}: {error}", record.line) from error
        if damage is not None:
            raise damage
