"""Snapshots in images: what is saved loads as the same past, and goes on as the same."""

from __future__ import annotations

import pytest
from past_walk import Walk

from hdfsd.base.ids import TxId
from hdfsd.image.load import load
from hdfsd.image.save import save
from hdfsd.image.sections import ImageHeader
from hdfsd.namespace.inode import Limits, Permission
from hdfsd.namespace.tree import Namespace

HEADER = ImageHeader(7, TxId(55))


def saved(namespace: Namespace) -> bytes:
    return b"".join(save(namespace, HEADER))


def reloaded(image: bytes) -> Namespace:
    namespace = Namespace(Limits(), Permission("nobody", "nogroup", 0), 0)
    load(image, namespace, "image")
    return namespace


@pytest.mark.parametrize("seed", range(30))
def test_a_past_is_the_same_after_an_image(seed: int) -> None:
    walk = Walk(seed)
    with walk.telling():
        for _ in range(3):
            for _ in range(60):
                walk.step()
            image = saved(walk.ns)
            walk.ns = reloaded(image)
            walk.check()
            assert saved(walk.ns) == image
        for _ in range(60):
            walk.step()
            walk.check()
