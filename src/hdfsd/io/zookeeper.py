"""Adapter. The election's lock and breadcrumb in a real ZooKeeper (ports.coordination, D9).

The znodes are those of Hadoop's failover controllers, so that both can share one election (wire
fact: ha-zk.md section 1). kazoo has threads of its own: whatever it tells is brought to the event
loop first. One `open` is one session; news of a session that was closed is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Any

from kazoo import exceptions as zk
from kazoo.client import KazooClient, TransactionRequest
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.states import EventType, KazooState, WatchedEvent
from kazoo.retry import KazooRetry
from kazoo.security import ACL, Id

from hdfsd.base.errors import ConnectFailed, OutcomeUnknown, StorageError
from hdfsd.failover.acl import AclEntry, Credential
from hdfsd.ports.coordination import Breadcrumb, LockView, SessionState

log = logging.getLogger(__name__)

LOCK_NAME = "ActiveStandbyElectorLock"
BREADCRUMB_NAME = "ActiveBreadCrumb"
CLOSE_S = 1.0
"""How long `close` waits for a ZooKeeper that does not answer; it goes on behind its back."""
_STATES = {
    KazooState.CONNECTED: SessionState.CONNECTED,
    KazooState.SUSPENDED: SessionState.SUSPENDED,
    KazooState.LOST: SessionState.EXPIRED,
}
_TRANSIENT = (zk.ConnectionLoss, zk.OperationTimeoutError)
_LOST = (*_TRANSIENT, zk.SessionExpiredError, zk.ConnectionClosedError, zk.CancelledError)

_FOR_ANOTHERS_SAKE = (zk.RolledBackError, zk.RuntimeInconsistency)
"""What those parts of a transaction say that another part kept from being done."""


class _TlsHandler(SequentialThreadingHandler):  # type: ignore[misc]
    """kazoo's threads with connections of a TLS context of ours: kazoo's own would trust the
    system's certificates too, and wants private keys in files."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self._context = context
        self.complaint = ""
        """Of the last connection that failed."""

    def create_connection(
        self, address: tuple[str, int], hostname: str, timeout: float, **_: Any
    ) -> ssl.SSLSocket:
        plain = socket.create_connection(address, timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self._context.wrap_socket(plain, server_hostname=hostname)
        except OSError as error:
            self.complaint = f"TLS with {hostname}:{address[1]}: {error}"
            log.warning("%s", self.complaint)
            raise
        finally:
            # wrap_socket takes the descriptor over when it succeeds.
            plain.close()


class ZooKeeperCoordination:
    def __init__(
        self,
        quorum: str,
        directory: str,
        *,
        session_timeout_ms: int,
        acl: Sequence[AclEntry],
        auth: Sequence[Credential] = (),
        retries_max: int = 3,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`quorum`: host:port,host:port; `directory`: <ha.zookeeper.parent-znode>/<nameservice>."""
        self._tls = tls
        self._quorum = quorum
        self._directory = directory
        self._lock_path = f"{directory}/{LOCK_NAME}"
        self._breadcrumb_path = f"{directory}/{BREADCRUMB_NAME}"
        self._session_timeout_ms = session_timeout_ms
        self._acl = [ACL(entry.permissions, Id(entry.scheme, entry.identity)) for entry in acl]
        self._auth = [(credential.scheme, credential.secret) for credential in auth]
        self._retries_max = retries_max
        self._client: KazooClient | None = None
        self.session_id: int | None = None
        """Of the session that was opened last."""

    async def open(self, on_session: Callable[[SessionState], None]) -> None:
        await self.close()
        loop = asyncio.get_running_loop()
        connected = loop.create_future()
        client = self._client = self._new_client()

        def tell(state: SessionState, session_id: int | None) -> None:
            if self._client is not client:
                return
            if state is SessionState.CONNECTED:
                self.session_id = session_id
                if not connected.done():
                    connected.set_result(None)
            on_session(state)

        def listen(state: str) -> None:
            identity = client.client_id  # None while there is no connection.
            _call_in_loop(loop, tell, _STATES[state], identity[0] if identity else None)

        client.add_listener(listen)
        client.start_async()
        try:
            async with asyncio.timeout(self._session_timeout_ms / 1000):
                await connected
        except TimeoutError:
            await self.close()
            complaint = getattr(client.handler, "complaint", "")
            raise ConnectFailed(
                f"no ZooKeeper of {self._quorum} answered in {self._session_timeout_ms} ms"
                + (f" ({complaint})" if complaint else "")
            ) from None

    def _new_client(self) -> KazooClient:
        return KazooClient(
            hosts=self._quorum,
            timeout=self._session_timeout_ms / 1000,
            auth_data=self._auth,
            handler=None if self._tls is None else _TlsHandler(self._tls),
            use_ssl=self._tls is not None,
            connection_retry=KazooRetry(max_tries=-1, delay=0.05, backoff=2, max_delay=1.0),
            logger=logging.getLogger("kazoo"),
        )

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            closed = _in_thread(lambda: _stop(client))
            await asyncio.wait((closed,), timeout=CLOSE_S)

    async def parent_exists(self) -> bool:
        return await self._ask("exists_async", self._directory) is not None

    async def format(self) -> None:
        client = self._connected()
        await self._translated(_in_thread(lambda: self._format(client)), self._directory)

    def _format(self, client: KazooClient) -> None:
        if client.exists(self._directory) is not None:
            client.delete(self._directory, recursive=True)
        path = ""
        for name in self._directory.strip("/").split("/"):
            path += f"/{name}"
            try:
                client.create(path, b"", acl=self._acl)
            except zk.NodeExistsError:
                client.set_acls(path, self._acl)

    async def try_lock(self, data: bytes) -> bool:
        try:
            await self._ask("create_async", self._lock_path, data, acl=self._acl, ephemeral=True)
        except zk.NodeExistsError:
            # Perhaps by ourselves, when the answer to a first attempt was lost (ha-zk.md 2).
            view = await self.read_lock()
            return view is not None and view.mine
        except zk.NoNodeError as error:
            raise StorageError(
                f"Parent znode {self._directory} does not exist."
                " Run with -formatZK flag to initialize ZooKeeper."
            ) from error
        return True

    async def read_lock(self, on_change: Callable[[], None] | None = None) -> LockView | None:
        watch = None if on_change is None else _watch(asyncio.get_running_loop(), on_change)
        try:
            data, stat = await self._ask("get_async", self._lock_path, watch=watch)
        except zk.NoNodeError:
            return None
        return LockView(data, stat.ephemeralOwner == self.session_id)

    async def unlock(self) -> None:
        view = await self.read_lock()
        if view is not None and view.mine:
            await self._ask("delete_async", self._lock_path)

    async def read_breadcrumb(self) -> Breadcrumb | None:
        try:
            data, stat = await self._ask("get_async", self._breadcrumb_path)
        except zk.NoNodeError:
            return None
        return Breadcrumb(data, stat.version)

    async def write_breadcrumb(self, data: bytes, version: int | None) -> None:
        try:
            if version is None:
                await self._ask("create_async", self._breadcrumb_path, data, acl=self._acl)
            else:
                await self._ask("set_async", self._breadcrumb_path, data, version=version)
        except (zk.NodeExistsError, zk.BadVersionError, zk.NoNodeError) as error:
            raise self._somebody_else(error) from error

    async def delete_breadcrumb(self, version: int) -> None:
        # The lock goes in the same transaction: whoever waits for it waits for one write less.
        transaction = self._connected().transaction()
        transaction.delete(self._breadcrumb_path, version)
        transaction.delete(self._lock_path)
        try:
            await self._translated(
                asyncio.ensure_future(_committed(transaction)), self._breadcrumb_path
            )
        except (zk.BadVersionError, zk.NoNodeError) as error:
            raise self._somebody_else(error) from error

    def _somebody_else(self, error: Exception) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"{self._breadcrumb_path} was changed by somebody else: {type(error).__name__}"
        )

    def _connected(self) -> KazooClient:
        if self._client is None:
            raise ConnectFailed("no ZooKeeper session is open")
        return self._client

    async def _ask(self, method: str, path: str, *arguments: Any, **options: Any) -> Any:
        """One operation, again after a lost connection (…zk.op.retries)."""
        client = self._connected()
        for retry in range(self._retries_max + 1):
            answer = _to_future(getattr(client, method)(path, *arguments, **options))
            try:
                return await self._translated(answer, path, last=retry == self._retries_max)
            except _TRANSIENT as error:
                log.info("ZooKeeper lost the connection during %s of %s: %r", method, path, error)
        raise OutcomeUnknown(f"ZooKeeper: {method} of {path} was not tried")

    async def _translated(self, answer: asyncio.Future[Any], path: str, last: bool = True) -> Any:
        """Our errors for kazoo's; NoNode, NodeExists and BadVersion stay for who asked."""
        try:
            return await answer
        except _LOST as error:
            if not last and isinstance(error, _TRANSIENT):
                raise
            raise OutcomeUnknown(f"ZooKeeper: {path}: {type(error).__name__}") from error
        except (zk.NoAuthError, zk.AuthFailedError, zk.InvalidACLError) as error:
            raise StorageError(
                f"ZooKeeper refuses {path}: {type(error).__name__}: compare ha.zookeeper.acl and"
                " ha.zookeeper.auth with what the znode was made with"
            ) from error


async def _committed(transaction: TransactionRequest) -> None:
    """Raises what kept it from being done."""
    for outcome in await _to_future(transaction.commit_async()):
        if isinstance(outcome, Exception) and not isinstance(outcome, _FOR_ANOTHERS_SAKE):
            raise outcome


def _stop(client: KazooClient) -> None:
    try:
        client.stop()
        client.close()
    except Exception as error:  # noqa: BLE001 - kazoo raises whatever its threads ran into
        log.info("closing a ZooKeeper session: %r", error)


def _call_in_loop(
    loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any
) -> None:
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        log.debug("the event loop is closed: nobody is left to tell")


def _watch(
    loop: asyncio.AbstractEventLoop, on_change: Callable[[], None]
) -> Callable[[WatchedEvent], None]:
    def changed(event: WatchedEvent) -> None:
        # A watch also hears of the session (type NONE), which the session's listener tells.
        if event.type != EventType.NONE:
            _call_in_loop(loop, on_change)

    return changed


def _to_future(result: Any) -> asyncio.Future[Any]:
    """The answer of one of kazoo's asynchronous calls, in the event loop."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle() -> None:
        if future.done():
            return
        error = result.exception
        if error is None:
            future.set_result(result.value)
        else:
            future.set_exception(error)

    result.rawlink(lambda _: _call_in_loop(loop, settle))
    return future


def _in_thread(work: Callable[[], None]) -> asyncio.Future[None]:
    """Runs in a thread that the process does not wait for at its end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def settle(error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def run() -> None:
        error: Exception | None = None
        try:
            work()
        except Exception as caught:  # noqa: BLE001 - handed to whoever waits
            error = caught
        _call_in_loop(loop, settle, error)

    threading.Thread(target=run, name="zookeeper", daemon=True).start()
    return future
