"""Hadoop's offline viewers read what we write: images (oiv) and edits (oev), to the same XML."""

from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path

import pytest

from hdfsd.editlog import codec, segment
from hdfsd.image.load import load
from hdfsd.image.save import save
from hdfsd.image.sections import DEFAULT_CODEC, NO_CODEC
from hdfsd.namespace.inode import Limits, Permission
from hdfsd.namespace.tree import Namespace

pytestmark = pytest.mark.interop

DATA = Path(__file__).parents[1] / "golden" / "data"
IMAGE_VIEWER = "org.apache.hadoop.hdfs.tools.offlineImageViewer.OfflineImageViewerPB"
EDITS_VIEWER = "org.apache.hadoop.hdfs.tools.offlineEditsViewer.OfflineEditsViewer"
IMAGES = ("fsimage_new", "fsimage_plain", "fsimage_compressed")


@pytest.fixture(scope="module")
def hadoop_lib() -> Path:
    path = Path(os.environ.get("HDFSD_HADOOP_LIB", ".hadoop/lib")).absolute()
    if not any(path.glob("hadoop-hdfs-3*.jar")):
        pytest.skip(f"no Hadoop jars in {path}: set HDFSD_HADOOP_LIB or run make interop")
    return path


def view(lib: Path, viewer: str, processor: str, file: Path) -> str:
    """The XML that Hadoop's viewer makes of a file."""
    out = file.with_suffix(".xml")
    command = ["java", "-cp", f"{lib}/*", viewer, "-p", processor, "-i", file, "-o", out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return out.read_text(encoding="utf-8")


def golden_xml(name: str) -> str:
    return gzip.decompress((DATA / f"{name}.xml.gz").read_bytes()).decode()


@pytest.mark.parametrize("codec_class", [NO_CODEC, DEFAULT_CODEC])
@pytest.mark.parametrize("name", IMAGES)
def test_an_image_loaded_and_saved_is_the_same_to_hadoop(
    hadoop_lib: Path, tmp_path: Path, name: str, codec_class: str
) -> None:
    namespace = Namespace(Limits(), Permission("nobody", "nogroup", 0), 0)
    header = load((DATA / name).read_bytes(), namespace, name)
    ours = tmp_path / "fsimage"
    ours.write_bytes(b"".join(save(namespace, header, codec_class)))
    assert view(hadoop_lib, IMAGE_VIEWER, "XML", ours) == golden_xml(name)


def test_hadoop_reads_every_op_that_we_encode(hadoop_lib: Path, tmp_path: Path) -> None:
    golden = (DATA / "all-opcodes.edits").read_bytes()
    ours = tmp_path / "edits"
    ours.write_bytes(
        segment.header()
        + b"".join(
            codec.encode(op, txid)
            for op, txid in codec.iter_ops(golden, offset=segment.HEADER_BYTES)
        )
    )
    assert view(hadoop_lib, EDITS_VIEWER, "xml", ours) == golden_xml("all-opcodes")
