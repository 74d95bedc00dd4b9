"""Adapter. Which lock service the configuration names, and how this host is called there."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from pathlib import Path

from hdfsd.base.errors import ConfigError
from hdfsd.base.settings import FailoverSettings, ZooKeeperTls
from hdfsd.failover.acl import AUTH_KEY, parse_acl, parse_auth
from hdfsd.io.credentials import resolved, secret
from hdfsd.io.file_lock import FileLockCoordination
from hdfsd.io.tls_stores import client_context
from hdfsd.io.zookeeper import ZooKeeperCoordination
from hdfsd.ports.coordination import Coordination

STORE = "hadoop.zk.ssl"


def coordination_of(settings: FailoverSettings) -> tuple[Coordination, str]:
    """The lock service that the configuration names, and its place there. Raises ConfigError."""
    zookeeper = settings.zookeeper
    if zookeeper is not None:
        directory = f"{zookeeper.parent_znode.rstrip('/')}/{settings.nameservice}"
        lock = ZooKeeperCoordination(
            zookeeper.quorum,
            directory,
            session_timeout_ms=zookeeper.session_timeout_ms,
            acl=parse_acl(resolved(zookeeper.acl)),
            auth=parse_auth(resolved(_secret(settings, AUTH_KEY, zookeeper.auth))),
            retries_max=zookeeper.retries_max,
            tls=None if zookeeper.tls is None else _context(settings, zookeeper.tls),
        )
        return lock, directory
    if settings.lock_dir is not None:
        directory = str(Path(settings.lock_dir, settings.nameservice))
        return FileLockCoordination(directory), directory
    raise ConfigError(
        "neither ha.zookeeper.quorum nor hdfsd.ha.lock.dir is set: write the HOST:PORT list of"
        " ZooKeeper, or a directory when all NameNodes are on this machine"
    )


def _context(settings: FailoverSettings, tls: ZooKeeperTls) -> ssl.SSLContext:
    """Passwords may be in a credential provider as well, where Hadoop takes them in clear text."""
    return client_context(
        truststore=tls.truststore,
        truststore_password=_secret(
            settings, f"{STORE}.truststore.password", tls.truststore_password
        ),
        keystore=tls.keystore,
        keystore_password=_secret(settings, f"{STORE}.keystore.password", tls.keystore_password),
    )


def _secret(settings: FailoverSettings, key: str, clear_text: str) -> str:
    return secret(key, clear_text, settings.environment, os.environ)


def host_name(host: str) -> str:
    """What Java's InetSocketAddress.getHostName says: the name of an IP address, if it has one
    that leads back to it; Hadoop's controllers compare the bytes made of it."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    try:
        name = socket.getnameinfo((host, 0), socket.NI_NAMEREQD)[0]
        addresses = {info[4][0] for info in socket.getaddrinfo(name, None)}
    except OSError:
        return host
    return name if host in addresses else host
