"""The election's lock in a real ZooKeeper that speaks TLS only and wants to know its clients."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from certificates import authority, issue
from hadoop import free_ports
from witnesses import wait_for

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConnectFailed, HdfsdError
from hdfsd.base.settings import FailoverSettings
from hdfsd.daemons import failover
from hdfsd.io.election import coordination_of
from hdfsd.io.zookeeper import ZooKeeperCoordination

pytestmark = [pytest.mark.system, pytest.mark.zookeeper, pytest.mark.timeout(120)]

PASSWORD = "changeit"
HOST = "127.0.0.1"


@dataclass(slots=True)
class SecureZooKeeper:
    root: Path
    port: int

    def options(self, trust: str, own: str, port: int | None = None) -> dict[str, str]:
        """Hadoop's keys."""
        values = {
            "dfs.nameservices": "ns1",
            "dfs.ha.namenodes.ns1": "nn1,nn2",
            "dfs.ha.namenode.id": "nn1",
            "dfs.namenode.rpc-address.ns1.nn1": f"{HOST}:8020",
            "dfs.namenode.rpc-address.ns1.nn2": f"{HOST}:8021",
            "dfs.ha.automatic-failover.enabled": "true",
            "ha.zookeeper.quorum": f"{HOST}:{port or self.port}",
            "ha.zookeeper.session-timeout.ms": "3000",
            "hadoop.zk.ssl.enabled": "true",
            "hadoop.zk.ssl.truststore.location": f"{self.root}/{trust}",
            "hadoop.zk.ssl.truststore.password": PASSWORD,
        }
        if own:
            values["hadoop.zk.ssl.keystore.location"] = f"{self.root}/{own}"
            values["hadoop.zk.ssl.keystore.password"] = PASSWORD
        return values

    def lock(self, trust: str, own: str) -> ZooKeeperCoordination:
        conf = Configuration.parse([], self.options(trust, own))
        made, _ = coordination_of(FailoverSettings.from_configuration(conf, lambda _: True))
        assert isinstance(made, ZooKeeperCoordination)
        return made


@pytest.fixture(scope="module")
def secure(
    tmp_path_factory: pytest.TempPathFactory, zookeeper_command: list[str]
) -> Iterator[SecureZooKeeper]:
    root = tmp_path_factory.mktemp("secure")
    ours, others = authority("ours"), authority("others")
    (root / "trust.pem").write_bytes(ours.certificate_pem())
    (root / "others.pem").write_bytes(others.certificate_pem())
    (root / "server.pem").write_bytes(issue("server", ours).pem())
    (root / "client.pem").write_bytes(issue("client", ours).pem())
    (root / "client.p12").write_bytes(issue("client", ours).pkcs12(PASSWORD))
    for kind, name in (("PKCS12", "trust.p12"), ("JKS", "trust.jks")):
        command = ["keytool", "-importcert", "-noprompt", "-alias", "ca", "-file", "trust.pem"]
        command += ["-keystore", name, "-storetype", kind, "-storepass", PASSWORD]
        subprocess.run(command, check=True, cwd=root, capture_output=True)
    (port,) = free_ports(1)
    (root / "zoo.cfg").write_text(
        f"tickTime=500\ndataDir={root}/data\nsecureClientPort={port}\n"
        f"secureClientPortAddress={HOST}\n"
        "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n"
        f"ssl.keyStore.location={root}/server.pem\nssl.trustStore.location={root}/trust.pem\n"
        "ssl.clientAuth=need\n"
    )
    with (root / "log").open("wb") as log:
        process = subprocess.Popen([*zookeeper_command, f"{root}/zoo.cfg"], stdout=log, stderr=log)
    found = SecureZooKeeper(root, port)
    try:
        wait_for(lambda: asyncio.run(_serves(found)), f"sessions: {root}/log", 60)
        yield found
    finally:
        process.kill()
        process.wait()


async def _serves(secure: SecureZooKeeper) -> bool:
    lock = secure.lock("trust.pem", "client.pem")
    try:
        await lock.open(lambda _: None)
    except HdfsdError:
        return False
    finally:
        await lock.close()
    return True


@pytest.mark.parametrize("trust", ["trust.pem", "trust.p12"])
@pytest.mark.parametrize("own", ["client.pem", "client.p12"])
def test_lock_and_breadcrumb(secure: SecureZooKeeper, trust: str, own: str) -> None:
    async def story() -> None:
        one, two = secure.lock(trust, own), secure.lock(trust, own)
        try:
            await one.open(lambda _: None)
            await two.open(lambda _: None)
            await one.format()
            assert await one.try_lock(b"one")
            await one.write_breadcrumb(b"one" * 10_000, None)
            assert not await two.try_lock(b"two")
            changed = asyncio.Event()
            assert await two.read_lock(changed.set) is not None
            found = await two.read_breadcrumb()
            assert found is not None
            assert found.data == b"one" * 10_000
            await one.close()
            await changed.wait()
            assert await two.try_lock(b"two")
        finally:
            await one.close()
            await two.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("trust", "own", "said"),
    [
        ("others.pem", "client.pem", "unable to get local issuer certificate"),
        ("trust.pem", "", "no ZooKeeper of .* answered"),
    ],
)
def test_who_is_not_trusted_gets_no_session(
    secure: SecureZooKeeper, trust: str, own: str, said: str
) -> None:
    async def story() -> None:
        lock = secure.lock(trust, own)
        with pytest.raises(ConnectFailed, match=said):
            await lock.open(lambda _: None)

    asyncio.run(story())


def test_formatting_through_the_command(secure: SecureZooKeeper) -> None:
    def run(trust: str, own: str) -> int:
        values = secure.options(trust, own) | {"ha.zookeeper.parent-znode": "/by-command"}
        words = [word for key, value in values.items() for word in ("-D", f"{key}={value}")]
        return failover.main([*words, "-formatZK", "-nonInteractive"])

    assert run("trust.p12", "client.p12") == 0
    assert run("trust.p12", "client.p12") == failover.FORMAT_DENIED
    assert run("others.pem", "client.p12") == failover.NO_LOCK_SERVICE


def test_a_jks_store_is_refused_with_the_way_out(secure: SecureZooKeeper) -> None:
    with pytest.raises(HdfsdError, match="keytool -importkeystore"):
        secure.lock("trust.jks", "client.p12")


def test_plain_against_tls_says_what_to_look_at(secure: SecureZooKeeper) -> None:
    async def story() -> None:
        lock = ZooKeeperCoordination(f"{HOST}:{secure.port}", "/x", session_timeout_ms=1000, acl=())
        with pytest.raises(ConnectFailed, match="no ZooKeeper of"):
            await lock.open(lambda _: None)

    asyncio.run(story())
