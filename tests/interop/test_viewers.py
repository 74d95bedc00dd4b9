"""Hadoop's viewers and its NameNode read what ours writes while it works: same records, same sums.

What our NameNode saved, Hadoop's NameNode loads and saves again: `oiv` must show the same records.
What our NameNode logged, `oev` must show as our own renderer does, the whole journal without a gap.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hadoop import DFS_ADMIN, NAMENODE, Hadoop, free_ports, wait_for_port, write_conf
from java_shell import SUPERUSER
from mixed_cluster import HDFSD, MixedCluster, wait_for
from namespace_work import prepare_local, work

from hdfsd.editlog import codec, ops, segment, xml

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

LEAVE_OPEN = """
import sys, time
from hdfs_native import Client
client = Client("hdfs://mycluster", config_dir=sys.argv[1])
writer = client.create("/open")
writer.write(b"x" * 1_000_000)
print("open", flush=True)
time.sleep(600)
"""
LOGGED = {
    ops.AddOp,
    ops.AddBlockOp,
    ops.AppendOp,
    ops.CloseOp,
    ops.ConcatDeleteOp,
    ops.DeleteOp,
    ops.MkdirOp,
    ops.RenameOldOp,
    ops.SetAclOp,
    ops.SetGenstampV2Op,
    ops.SetOwnerOp,
    ops.SetPermissionsOp,
    ops.SetQuotaByStorageTypeOp,
    ops.SetQuotaOp,
    ops.SetReplicationOp,
    ops.SetXAttrOp,
    ops.TimesOp,
    ops.TruncateOp,
}
"""What the work and the open file must have left in the journal."""


@pytest.fixture(scope="module")
def cluster(hadoop_lib: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MixedCluster]:
    """Ours; stopped, after work, an open file and a saved image with edits before and behind it."""
    made = MixedCluster(Hadoop(hadoop_lib, tmp_path_factory.mktemp("viewers")))
    prepare_local(made.local)
    made.start("journalnode", 0, HDFSD)
    made.prepare("nn1", HDFSD, "-format", "-force", "-nonInteractive")
    made.start("namenode", "nn1", HDFSD)
    made.start("datanode", 0, HDFSD)
    made.activate("nn1")
    work(made.shell, "/worked")
    leave_open(made)
    made.save("nn1")
    work(made.shell, "/behind")
    made.kill_all()
    yield made
    made.close()


def leave_open(cluster: MixedCluster) -> None:
    """A file whose writer died with its last block under construction."""
    writer = subprocess.Popen(
        [sys.executable, "-c", LEAVE_OPEN, str(cluster.site.conf)],
        stdout=subprocess.PIPE,
        env=os.environ | {"HADOOP_USER_NAME": SUPERUSER},
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        sees = ("dfsadmin", "-listOpenFiles")
        wait_for("the open file", lambda: "/open" in cluster.shell.run(*sees).out)
    finally:
        writer.kill()
        writer.communicate()


def newest_image(current: Path) -> Path:
    return max(path for path in current.glob("fsimage_*") if path.suffix == "")


def records(text: str) -> dict[str, list[str]]:
    """Section → its records, in an order of their own: Hadoop writes inodes in that of a hash."""
    sections = {}
    for section in ElementTree.fromstring(text):
        rows = [ElementTree.tostring(row, encoding="unicode").strip() for row in section]
        sections[section.tag] = sorted(row for row in rows if not row.startswith("<txid>"))
    return sections


def saved_by_hadoop(cluster: MixedCluster, image: Path) -> Path:
    """The image as Hadoop's NameNode, alone and without edits, loads and saves it."""
    root = cluster.hadoop.root / "alone"
    current = root / "current"
    current.mkdir(parents=True)
    for path in (image, image.with_name(image.name + ".md5"), image.with_name("VERSION")):
        shutil.copy(path, current)
    (current / "seen_txid").write_text(f"{int(image.name.removeprefix('fsimage_'))}\n")
    rpc, http = free_ports(2)
    conf = write_conf(
        cluster.hadoop.root / "conf/alone",
        {"fs.defaultFS": f"hdfs://127.0.0.1:{rpc}"},
        {
            "dfs.namenode.name.dir": f"file://{root}",
            "dfs.namenode.http-address": f"127.0.0.1:{http}",
        },
    )
    cluster.hadoop.start("alone", conf, NAMENODE)
    try:
        wait_for_port(rpc)
        # It never leaves safe mode: there is no DataNode.
        done = cluster.hadoop.run(conf, DFS_ADMIN, "-saveNamespace")
        assert done.returncode == 0, done.stderr.decode()
    finally:
        cluster.hadoop.stop("alone")
    saved = newest_image(current)
    assert saved.name != image.name
    return saved


def test_hadoop_saves_what_it_loaded_from_our_image(cluster: MixedCluster) -> None:
    image = newest_image(cluster.current("nn1"))
    ours = records(cluster.hadoop.oiv_xml(cluster.site.conf, image))
    hadoops = records(cluster.hadoop.oiv_xml(cluster.site.conf, saved_by_hadoop(cluster, image)))
    for name in ours.keys() | hadoops.keys():
        assert ours[name] == hadoops[name], name
    assert any("<name>open</name>" in row for row in ours["INodeSection"])
    assert len(ours["FileUnderConstructionSection"]) == 1


@pytest.mark.parametrize("directory", ["name directory", "journal"])
def test_hadoop_reads_our_edits(cluster: MixedCluster, directory: str) -> None:
    journal = cluster.hadoop.root / "data/jn0/mycluster/current"
    current = journal if directory == "journal" else cluster.current("nn1")
    seen: set[type] = set()
    last_txid = 0
    for path in sorted(current.glob("edits_*"), key=lambda path: path.name.split("_")[-1]):
        data = path.read_bytes()
        layout_version, offset = segment.read_header(data, path.name)
        found = list(codec.iter_ops(data, layout_version, offset, path.name))
        shown = cluster.hadoop.oev_xml(cluster.site.conf, path)
        assert shown == "".join(xml.render(iter(found), layout_version)), path.name
        assert [txid for _, txid in found] == list(range(last_txid + 1, last_txid + 1 + len(found)))
        last_txid += len(found)
        seen |= {type(op) for op, _ in found}
    assert seen >= LOGGED, LOGGED - seen
