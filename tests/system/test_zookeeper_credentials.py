"""A lock in a real ZooKeeper behind an ACL, with the credential in a store that Hadoop made."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from hdfsd.base.config import Configuration
from hdfsd.base.errors import StorageError
from hdfsd.base.settings import FailoverSettings
from hdfsd.io.election import coordination_of
from hdfsd.ports.coordination import Coordination

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

STORE = Path(__file__).parents[1] / "golden/data/credentials/store.jceks"
"""`hadoop credential create ha.zookeeper.auth -value digest:hdfs:se:cret`."""
OWNER = base64.b64encode(hashlib.sha1(b"hdfs:se:cret").digest()).decode()


def lock_in(zookeeper: Any, **changes: str) -> Coordination:
    values = {
        "dfs.nameservices": "ns1",
        "dfs.ha.namenodes.ns1": "nn1,nn2",
        "dfs.ha.namenode.id": "nn1",
        "dfs.namenode.rpc-address.ns1.nn1": "127.0.0.1:8020",
        "dfs.namenode.rpc-address.ns1.nn2": "127.0.0.1:8021",
        "ha.zookeeper.quorum": zookeeper.quorum,
        "ha.zookeeper.session-timeout.ms": "10000",
        "ha.zookeeper.acl": f"digest:hdfs:{OWNER}:rwcda",
        **{key.replace("__", "."): value for key, value in changes.items()},
    }
    conf = Configuration.parse([], values)
    return coordination_of(FailoverSettings.from_configuration(conf, lambda _: True))[0]


async def opened(lock: Coordination) -> Coordination:
    await lock.open(lambda _: None)
    return lock


def test_the_owner_is_known_by_the_credential_of_the_store(zookeeper: Any) -> None:
    async def story() -> None:
        provider = f"localjceks://file{STORE}"
        owner = await opened(
            lock_in(zookeeper, hadoop__security__credential__provider__path=provider)
        )
        stranger = await opened(lock_in(zookeeper, ha__zookeeper__auth="digest:hdfs:another"))
        try:
            await owner.format()
            assert await owner.try_lock(b"nn1")
            view = await owner.read_lock()
            assert view is not None
            assert (view.data, view.mine) == (b"nn1", True)
            with pytest.raises(StorageError, match=r"ha\.zookeeper\.auth"):
                await stranger.read_lock()
        finally:
            await owner.close()
            await stranger.close()

    asyncio.run(story())
