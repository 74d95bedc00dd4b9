"""What a client knows of its names."""

from __future__ import annotations

from hdfsd.namespace import mutate
from hdfsd.namespace.apply import apply
from hdfsd.namespace.permission import Principal
from hdfsd.namespace.requests import Request
from hdfsd.sim.cluster import Cluster
from hdfsd.sim.dice import SimDice
from hdfsd.sim.swarm import draw
from hdfsd.sim.workload import Client, Counts, Names
from hdfsd.sim.world import World


def test_doubt_takes_names_out_of_what_is_known() -> None:
    names = Names(there={"/a": True, "/b": False}, gone={"/c": None})
    names.doubt("/a", there=False)
    names.doubt("/d", there=True)
    names.doubt("", there=True)
    assert names.there == {"/b": False}
    assert names.gone == {"/c": None}
    assert names.doubtful == {"/a": False, "/d": True}


def test_what_was_done_after_all_is_known_from_then_on() -> None:
    names = Names(doubtful={"/made": True, "/removed": False})
    names.seen("/made", there=False, is_dir=False)
    names.seen("/removed", there=True, is_dir=True)
    assert names.doubtful == {"/made": True, "/removed": False}
    names.seen("/made", there=True, is_dir=True)
    names.seen("/removed", there=False, is_dir=False)
    assert names == Names(there={"/made": True}, gone={"/removed": None})


def test_what_is_missing_and_what_has_come_back() -> None:
    mix = draw(SimDice("1"))
    cluster = Cluster(World("1"), mix.options, session_ms=300, restart_ms=30)
    namespace = cluster.new_namespace()
    for path in ("/there", "/back"):
        root = Request(Principal("hdfs", frozenset(), True), 1, b"", -2)
        for op in mutate.mkdirs(namespace, root, path, 0o755, True, None):
            apply(namespace, op)
    client = Client(cluster, "c", Counts(), pause_ms=1)
    client.names = Names(there={"/there": True, "/lost": True}, gone={"/away": None, "/back": None})
    assert client.missing(namespace) == ["/lost is lost", "/back has come back"]
