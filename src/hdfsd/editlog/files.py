"""Core. Names of edit segments and images in a storage directory (editlog.md section 4)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hdfsd.base.ids import TxId

_SEGMENT = re.compile(r"edits_(\d+)-(\d+)")
_INPROGRESS = re.compile(r"edits_inprogress_(\d+)")
_INPROGRESS_ASIDE = re.compile(r"edits_inprogress_(\d+)\.(empty|corrupt|stale|trash)")
_IMAGE = re.compile(r"(fsimage|fsimage\.ckpt|fsimage_rollback)_(\d+)")
_MD5_LINE = re.compile(r"([0-9a-f]{32}) [ *](.+)")


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A segment by its name; `last_txid` (inclusive) is None while it is in progress."""

    first_txid: TxId
    last_txid: TxId | None
    name: str

    @property
    def in_progress(self) -> bool:
        return self.last_txid is None


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image by its name; `kind` is "fsimage", "fsimage.ckpt" or "fsimage_rollback"."""

    kind: str
    txid: TxId
    name: str


def finalized_name(first_txid: int, last_txid: int) -> str:
    return f"edits_{first_txid:019d}-{last_txid:019d}"


def inprogress_name(first_txid: int) -> str:
    return f"edits_inprogress_{first_txid:019d}"


def download_name(first_txid: int, last_txid: int, now_ms: int) -> str:
    """A finalised segment that is being fetched from a peer."""
    return f"edits_tmp_{first_txid:019d}-{last_txid:019d}_{now_ms}"


def image_name(txid: int) -> str:
    return f"fsimage_{txid:019d}"


def checkpoint_name(txid: int) -> str:
    """An image that is being written or received."""
    return f"fsimage.ckpt_{txid:019d}"


def rollback_image_name(txid: int) -> str:
    return f"fsimage_rollback_{txid:019d}"


def parse_segment(name: str) -> SegmentFile | None:
    """A finalised or in-progress segment, or None for any other name (.empty, .corrupt, …)."""
    if match := _SEGMENT.fullmatch(name):
        first_txid, last_txid = TxId(int(match[1])), TxId(int(match[2]))
        return SegmentFile(first_txid, last_txid, name) if first_txid <= last_txid else None
    if match := _INPROGRESS.fullmatch(name):
        return SegmentFile(TxId(int(match[1])), None, name)
    return None


def parse_set_aside(name: str) -> tuple[TxId, str] | None:
    """First txid and suffix ("empty", "corrupt", "stale", "trash") of a segment moved aside."""
    match = _INPROGRESS_ASIDE.fullmatch(name)
    return (TxId(int(match[1])), match[2]) if match else None


def parse_image(name: str) -> ImageFile | None:
    """An image file, or None for any other name (an .md5, say)."""
    match = _IMAGE.fullmatch(name)
    return ImageFile(match[1], TxId(int(match[2])), name) if match else None


def md5_name(name: str) -> str:
    return f"{name}.md5"


def md5_line(digest_hex: str, name: str) -> str:
    """The text of a side file: the digest in lower-case hex of the file `name`."""
    return f"{digest_hex} *{name}\n"


def parse_md5_line(text: str) -> tuple[str, str] | None:
    """(digest in hex, file name), or None when the text has another form."""
    match = _MD5_LINE.fullmatch(text.rstrip("\r\n"))
    return (match[1], match[2]) if match else None
