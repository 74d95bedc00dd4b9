"""Upgrade, finalization and rollback of a journal: the same calls to Hadoop's and to ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from journals import HADOOP, HDFSD, JournalNodes, RawWriter, journal_nodes

from hdfsd.base.errors import JournalNotFormatted, RemoteFault
from hdfsd.wire.messages import Message, hdfs_server, qjournal

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

JID = qjournal.JournalIdProto(identifier="ns")
NOTHING = hdfs_server.StorageInfoProto(layoutVersion=0, namespceID=0, clusterID="", cTime=0)
UPGRADED = hdfs_server.StorageInfoProto(
    layoutVersion=2**32 - 67, namespceID=4711, clusterID="CID-interop", cTime=1800000000000
)
PRE = ("doPreUpgrade", qjournal.DoPreUpgradeRequestProto(jid=JID))
UPGRADE = ("doUpgrade", qjournal.DoUpgradeRequestProto(jid=JID, sInfo=UPGRADED))
FINALIZE = ("doFinalize", qjournal.DoFinalizeRequestProto(jid=JID))
ROLLBACK = ("doRollback", qjournal.DoRollbackRequestProto(jid=JID))
CTIME = ("getJournalCTime", qjournal.GetJournalCTimeRequestProto(jid=JID))
RESTART = ("restart", NOTHING)


def can_roll_back(target: int = -67, namespace_id: int = 0) -> tuple[str, Message]:
    known = hdfs_server.StorageInfoProto()
    known.CopyFrom(NOTHING)
    known.namespceID = namespace_id
    return (
        "canRollBack",
        qjournal.CanRollBackRequestProto(
            jid=JID, storage=known, prevStorage=known, targetLayoutVersion=target
        ),
    )


STORY = [
    CTIME,
    can_roll_back(),
    PRE,
    PRE,
    UPGRADE,
    UPGRADE,
    PRE,
    CTIME,
    can_roll_back(),
    can_roll_back(target=-66),
    can_roll_back(namespace_id=5),
    ROLLBACK,
    RESTART,  # Hadoop's goes on with what it knew before the rollback, until it is started again.
    CTIME,
    ROLLBACK,
    PRE,
    UPGRADE,
    FINALIZE,
    FINALIZE,
    can_roll_back(),
    CTIME,
    UPGRADE,  # Hadoop's refuses it too, but has written the new VERSION by then.
]


def outcome(nodes: JournalNodes, name: str, step: tuple[str, Message]) -> str:
    """What the JournalNode answers, and which directories there are then."""
    if step is RESTART:
        nodes.kill(name)
        nodes.start(name)
        return "restart"
    writer = RawWriter(nodes.address(name), "ns")
    try:
        answer = " ".join(str(writer.call(*step)).split())
    except RemoteFault as fault:
        text = fault.message.splitlines()[0].replace(str(nodes.root), "ROOT").replace(name, "JN")
        answer = f"{fault.wire_class}: {text}"
    root = nodes.current(name, "ns").parent
    found = sorted(path.name for path in root.iterdir() if path.is_dir())
    return f"{step[0]} -> {answer} {[n for n in found if n != 'edits.sync']}"


def furnish(nodes: JournalNodes, name: str) -> None:
    writer = RawWriter(nodes.address(name), "ns")
    writer.format()
    writer.new_epoch(4)
    writer.start(1)
    writer.write(1, "a", 1, 5)
    writer.finalize(1, 5)


def test_every_step_in_and_out_of_order(hadoop_lib: Path, tmp_path: Path) -> None:
    with journal_nodes(tmp_path, hadoop_lib, {"jn0": HADOOP, "jn1": HDFSD}) as nodes:
        stories = []
        for name in ("jn0", "jn1"):
            furnish(nodes, name)
            stories.append([outcome(nodes, name, step) for step in STORY])
        assert stories[1] == stories[0]


def files(nodes: JournalNodes, directory: str) -> dict[str, bytes]:
    root = nodes.current("jn0", "ns").parent / directory
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "VERSION" and path.stat().st_size
    }


@pytest.mark.parametrize(("first", "second"), [(HADOOP, HDFSD), (HDFSD, HADOOP)])
@pytest.mark.parametrize("way", [ROLLBACK, FINALIZE], ids=["rollback", "finalize"])
def test_one_upgrades_and_the_other_goes_on(
    hadoop_lib: Path, tmp_path: Path, first: str, second: str, way: tuple[str, Message]
) -> None:
    with journal_nodes(tmp_path, hadoop_lib, {"jn0": first}) as nodes:
        furnish(nodes, "jn0")
        before = files(nodes, "current")
        for step in (PRE, UPGRADE):
            outcome(nodes, "jn0", step)
        assert files(nodes, "current").items() >= before.items()
        nodes.kill("jn0")
        nodes.kind_of["jn0"] = second
        nodes.start("jn0")
        assert "canRollBack: true" in outcome(nodes, "jn0", can_roll_back())
        assert outcome(nodes, "jn0", way).endswith("['current']")
        writer = RawWriter(nodes.address("jn0"), "ns")
        ctime = writer.call(*CTIME).resultCTime
        assert ctime == (1700000000000 if way is ROLLBACK else 1800000000000)
        assert writer.manifest() == [(1, 5)]


@pytest.mark.parametrize(("first", "second"), [(HADOOP, HDFSD), (HDFSD, HADOOP)])
def test_one_dies_in_the_middle_and_the_other_undoes_it(
    hadoop_lib: Path, tmp_path: Path, first: str, second: str
) -> None:
    with journal_nodes(tmp_path, hadoop_lib, {"jn0": first}) as nodes:
        furnish(nodes, "jn0")
        before = files(nodes, "current")
        assert outcome(nodes, "jn0", PRE).endswith("['current', 'previous.tmp']")
        nodes.kill("jn0")
        nodes.kind_of["jn0"] = second
        nodes.start("jn0")
        writer = RawWriter(nodes.address("jn0"), "ns")
        if second == HADOOP:
            # Hadoop's puts it right, and takes it for formatted when it is started again.
            with pytest.raises(JournalNotFormatted):
                writer.manifest()
            nodes.kill("jn0")
            nodes.start("jn0")
        assert writer.manifest() == [(1, 5)]
        assert files(nodes, "current") == before
        assert writer.state().lastPromisedEpoch == 4
