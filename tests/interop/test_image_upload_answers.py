"""Uploads of images as Hadoop's NameNode answers them and as ours does: the same, early, for good.

First the same requests to both, on the same directories; then a standby of each kind that saves
every second beside an active of the other kind that wants none of it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hadoop import LOG4J, Hadoop
from image_uploads import Answer, Upload, put
from mixed_cluster import HADOOP, HDFSD, MixedCluster, wait_for

pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]

BODY = b"not an image, but nobody looks inside" * 4000
BIG_BODY = BODY * 200
"""More than the buffers of a connection hold: a sender that does not ask is still sending."""
CHECKPOINTER = "org.apache.hadoop.hdfs.server.namenode.ha.StandbyCheckpointer"
EXPECT = {"Expect": "100-continue"}
TWO_HOURS = 7200
EAGER = {
    "dfs.namenode.checkpoint.period": "2s",
    "dfs.namenode.checkpoint.check.period": "1s",
    "dfs.ha.log-roll.period": "1s",
}
"""Of the standby; the active has Hadoop's hour."""


class Pair(MixedCluster):
    """nn1 is active, nn2 standby."""

    def __init__(self, hadoop: Hadoop) -> None:
        super().__init__(hadoop, overrides={"dfs.namenode.num.checkpoints.retained": "50"})
        self._own: dict[str, dict[str, str]] = {"nn1": {}, "nn2": {}}
        self.site.namenode_conf = self._namenode_conf  # type: ignore[method-assign]

    def _namenode_conf(self, name: str) -> Path:
        conf = self.site.conf_of(name, {"dfs.ha.namenode.id": name, **self._own[name]})
        (conf / "log4j.properties").write_text(f"{LOG4J}log4j.logger.{CHECKPOINTER}=INFO\n")
        return conf

    @contextmanager
    def running(
        self, active: str, standby: str, *, image_age_s: int, eager: bool = False
    ) -> Iterator[None]:
        """Both, of these kinds; nn1 has the first image alone, and as old as this."""
        for path in self.current("nn1").glob("fsimage_*"):
            if str(path).removesuffix(".md5").endswith(f"_{0:019d}"):
                os.utime(path, (time.time() - image_age_s,) * 2)
            else:
                path.unlink()
        self._own["nn2"] = EAGER if eager else {}
        try:
            self.start("namenode", "nn1", active)
            self.start("namenode", "nn2", standby)
            order = ("haadmin", "-transitionToActive", "--forceactive", "nn1")
            if self.shell.run(*order).code:
                self.shell.must(*order)  # The JVM had kept its connection to the process before.
            yield
        finally:
            for name in {"nn1", "nn2"} & self.processes.keys():
                self.kill(name)

    def http(self, name: str) -> int:
        return self.site.namenode_ports[name]["http"]

    def query(self, txid: int, body: bytes = BODY, **changes: str) -> dict[str, str]:
        version = (self.current("nn1") / "VERSION").read_text()
        names = ("layoutVersion", "namespaceID", "cTime", "clusterID")
        found = [re.search(rf"^{name}=(.*)$", version, re.M) for name in names]
        return {
            "txid": str(txid),
            "storageInfo": ":".join(match[1] for match in found if match),
            "File-Length": str(len(body)),
            "imageFile": "IMAGE",
            **changes,
        }


@pytest.fixture(scope="module")
def pair(hadoop_lib: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(Hadoop(hadoop_lib, tmp_path_factory.mktemp("uploads")))
    try:
        made.start("journalnode", 0, HDFSD)
        made.prepare("nn1", HDFSD, "-format", "-force", "-nonInteractive")
        made.start("namenode", "nn1", HDFSD)
        made.prepare("nn2", HDFSD, "-bootstrapStandby", "-force", "-nonInteractive")
        made.kill("nn1")
        yield made
    finally:
        made.close()


def asked_for(pair: Pair) -> dict[str, Answer]:
    """What nn1, active, and nn2, standby, say to the same requests."""
    active, standby = pair.http("nn1"), pair.http("nn2")
    query = pair.query
    answers = {
        "the image is there": put(active, query(0), BODY),
        "foreign": put(active, query(9, storageInfo="-67:1:2:CID-other"), BODY),
        "no length": put(active, query(9, **{"File-Length": "0"}), BODY),
        "no transaction": put(active, query(-1), BODY),
        "no such kind": put(active, query(9, imageFile="NO"), BODY),
        "a standby": put(standby, query(9), BODY),
        "a standby, not asked": put(standby, query(9), BODY, ask=False),
        "wrong length": put(active, query(900_000, **{"File-Length": "99"}), BODY),
        "the first": put(active, query(5_000_000), BODY),
        "soon after": put(active, query(5_000_007), BODY),
        "soon after, not asked": put(active, query(5_000_008, BIG_BODY), BIG_BODY, ask=False),
        "soon, but far ahead": put(
            active, query(7_000_000), BODY, headers={"X-Hdfsd-Resume": "ask"}
        ),
    }
    first = Upload(active, query(9_000_000), BODY, EXPECT)
    assert first.was_asked_for_body()
    first.send(BODY[:1000])
    for name, txid in (("the same at once", 9_000_000), ("an older one at once", 8_000_000)):
        answers[name] = put(active, query(txid), BODY)
    first.send(BODY[1000:])
    answers["the one before"] = first.answer(asked_for_body=True)
    return answers


def comparable(answer: Answer) -> tuple[int, str, bool]:
    """Without what differs between two days, and Java's stack."""
    text = re.sub(
        r"previous checkpoint is \d+ expecting", "previous checkpoint is N expecting", answer.text
    )
    if answer.status == 200:
        text = ""
    if answer.status == 410:
        text = text[: len("PutImage failed.")]
    return answer.status, text, answer.asked_for_body


def test_both_give_the_same_answers(pair: Pair) -> None:
    with pair.running(HADOOP, HADOOP, image_age_s=TWO_HOURS):
        theirs = asked_for(pair)
    with pair.running(HDFSD, HDFSD, image_age_s=TWO_HOURS):
        ours = asked_for(pair)
    assert {name: comparable(answer) for name, answer in ours.items()} == {
        name: comparable(answer) for name, answer in theirs.items()
    }
    statuses = {name: answer.status for name, answer in ours.items()}
    assert statuses["soon after, not asked"] == statuses["soon after"] == 409
    assert [name for name, answer in ours.items() if answer.asked_for_body] == [
        "wrong length",
        "the first",
        "soon, but far ahead",
        "the one before",
    ]


def test_an_upload_to_ours_that_broke_off_goes_on(pair: Pair) -> None:
    with pair.running(HDFSD, HDFSD, image_age_s=TWO_HOURS):
        port, query = pair.http("nn1"), pair.query(6_000_000, BIG_BODY)
        first = Upload(port, query, BIG_BODY, EXPECT)
        assert first.was_asked_for_body()
        first.send(BIG_BODY[: len(BIG_BODY) // 2])
        first.close()
        answer = Answer(0, "", False)

        def seen_to_be_cut() -> bool:
            nonlocal answer
            answer = put(port, query, BIG_BODY, headers={"X-Hdfsd-Resume": "ask"})
            return answer.status != 409

        wait_for("the cut", seen_to_be_cut)
        assert (answer.status, answer.asked_for_body) == (308, False)
        assert 0 < answer.offset <= len(BIG_BODY) // 2
        resumed = {**EXPECT, "X-Hdfsd-Offset": str(answer.offset)}
        rest = Upload(port, query, BIG_BODY, resumed, answer.offset)
        assert rest.was_asked_for_body()
        rest.send(BIG_BODY[answer.offset :])
        assert rest.answer(asked_for_body=True).status == 200
    assert (pair.current("nn1") / f"fsimage_{6_000_000:019d}").read_bytes() == BIG_BODY


def images(pair: Pair, name: str) -> set[int]:
    found = (re.fullmatch(r"fsimage_(\d+)", path.name) for path in pair.current(name).iterdir())
    return {int(match[1]) for match in found if match}


def until_saved(pair: Pair, count: int) -> None:
    """Until nn2 has saved this many more images; there are new transactions all the time."""
    before = len(images(pair, "nn2"))

    def saved() -> bool:
        pair.shell.must("dfs", "-mkdir", "-p", f"/{time.monotonic_ns()}")
        return len(images(pair, "nn2")) >= before + count

    wait_for(f"{count} more images of nn2", saved, 300)


def test_our_standby_hears_hadoops_refusals(pair: Pair) -> None:
    with pair.running(HADOOP, HDFSD, image_age_s=0, eager=True):
        until_saved(pair, 4)
        told = pair.log("nn2")
    assert images(pair, "nn1") == {0}
    refusal = f"not wanted by 127.0.0.1:{pair.http('nn1')}: Rejecting a fsimage due to small time"
    assert told.count(refusal) >= 2
    assert "not uploaded to" not in told


def test_hadoops_standby_hears_ours(pair: Pair) -> None:
    with pair.running(HDFSD, HADOOP, image_age_s=0, eager=True):
        before = len(pair.log("nn2"))
        until_saved(pair, 4)
        told = pair.log("nn2")[before:]
    assert images(pair, "nn1") == {0}
    rejected = "Image upload rejected by the other NameNode: OLD_TRANSACTION_ID_FAILURE"
    assert told.count(rejected) >= 2
    assert "Exception in doCheckpoint" not in told
