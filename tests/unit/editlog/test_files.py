"""Names of segments and images, both ways."""

from __future__ import annotations

import pytest

from hdfsd.base.ids import TxId
from hdfsd.editlog import files
from hdfsd.editlog.files import ImageFile, SegmentFile

FINALIZED = "edits_0000000000000000001-0000000000000000330"
IN_PROGRESS = "edits_inprogress_0000000000000000383"


def test_names_are_those_of_hadoop() -> None:
    assert files.finalized_name(1, 330) == FINALIZED
    assert files.inprogress_name(383) == IN_PROGRESS
    assert files.image_name(330) == "fsimage_0000000000000000330"
    assert files.checkpoint_name(330) == "fsimage.ckpt_0000000000000000330"
    assert files.rollback_image_name(330) == "fsimage_rollback_0000000000000000330"
    assert (
        files.download_name(1, 330, 1795309963400)
        == "edits_tmp_0000000000000000001-0000000000000000330_1795309963400"
    )


def test_segments_are_read_back_from_their_names() -> None:
    finalized = files.parse_segment(FINALIZED)
    assert finalized == SegmentFile(TxId(1), TxId(330), FINALIZED)
    assert not finalized.in_progress
    in_progress = files.parse_segment(IN_PROGRESS)
    assert in_progress == SegmentFile(TxId(383), None, IN_PROGRESS)
    assert in_progress.in_progress


@pytest.mark.parametrize(
    "name",
    [
        "",
        "edits_",
        "edits_1",
        "edits_5-4",
        "edits_1-2.md5",
        "edits_tmp_1-2_3",
        "edits_inprogress_",
        "edits_inprogress_12.empty",
        "edits_inprogress_12.epoch=3",
        "xedits_1-2",
        "edits_-1-2",
        "fsimage_12",
        "seen_txid",
    ],
)
def test_other_names_are_no_segments(name: str) -> None:
    assert files.parse_segment(name) is None


@pytest.mark.parametrize("suffix", ["empty", "corrupt", "stale", "trash"])
def test_segments_set_aside_are_known_by_their_suffix(suffix: str) -> None:
    assert files.parse_set_aside(f"{IN_PROGRESS}.{suffix}") == (TxId(383), suffix)
    assert files.parse_set_aside(IN_PROGRESS) is None
    assert files.parse_set_aside(f"{IN_PROGRESS}.other") is None


@pytest.mark.parametrize("kind", ["fsimage", "fsimage.ckpt", "fsimage_rollback"])
def test_images_are_read_back_from_their_names(kind: str) -> None:
    name = f"{kind}_{382:019d}"
    assert files.parse_image(name) == ImageFile(kind, TxId(382), name)
    assert files.parse_image(files.md5_name(name)) is None


def test_md5_side_file_both_ways() -> None:
    digest = "0123456789abcdef" * 2
    assert files.md5_line(digest, "fsimage_1") == f"{digest} *fsimage_1\n"
    for blank in "*", " ":
        assert files.parse_md5_line(f"{digest} {blank}fsimage_1\n") == (digest, "fsimage_1")
    for bad in "", digest, f"{digest[1:]} *x", f"{digest.upper()}  x", f"{digest}*x":
        assert files.parse_md5_line(bad) is None
