from __future__ import annotations

from hdfsd.datanode.dataset import Copier, Dataset, Listener
from hdfsd.datanode.listener import LoopListener
from hdfsd.datanode.store import Store
from hdfsd.datanode.xceiver import XceiverServer


def names(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def test_the_ports_are_implemented_whole() -> None:
    for port, adapter in ((Dataset, Store), (Copier, XceiverServer), (Listener, LoopListener)):
        assert names(port) <= names(adapter), port.__name__
        assert names(port)
