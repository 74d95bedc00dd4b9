"""Adapter. Two kinds of clients, seen alike: our own failover proxy, and hdfs-native.

Both move the bytes of files with hdfs-native, as `hdfsd dfs` does (D14). A call ends with its
answer, or raises Refused (a NameNode says that it can't be, in a way that leaves nothing done), or
Unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from hdfs_native import Client, WriteOptions
from histories import DIRECTORY, NO_FILE, Kind, records_of

from hdfsd.base.errors import FileAlreadyExists, FileNotFound, HdfsdError, RemoteFault
from hdfsd.base.settings import ClientSettings
from hdfsd.client.proxy import NameNodeProxy
from hdfsd.io.dice import RealDice
from hdfsd.io.network import TcpNetwork
from hdfsd.io.site import current_user, read_configuration
from hdfsd.rpc.retry import Backoff
from hdfsd.wire.messages import Message, acl, hdfs
from hdfsd.wire.messages import client_namenode as pb

T = TypeVar("T")

BLOCK_BYTES = 64 << 10
BACKOFF = Backoff(base_ms=100, max_ms=800, attempts_max=12)
CALL_MS = 2000
MODE = acl.FsPermissionProto(perm=0o755)


class Refused(Exception):
    """What was asked for can't be done, says a NameNode."""


class Unknown(Exception):
    """It may have been done, now or later."""


class NativeClient:
    """hdfs-native. It does not say which NameNode answered."""

    def __init__(self, conf_dir: str, name: str) -> None:
        self._name = name
        self._native = Client(config_dir=conf_dir)
        self._kept: list[Any] = []
        """hdfs-native closes a writer that is dropped, and asks for a long time for the completion
        of a file that will never be complete."""

    def namenode_of(self, kind: Kind) -> str:
        """Who answered the last call, which was of this kind; "" when nobody knows."""
        return ""

    # Names.

    def mkdir(self, path: str) -> None:
        _one_call(lambda: self._native.mkdirs(path, 0o755, True))

    def create(self, path: str) -> None:
        self.write(path, b"")

    def rename(self, source: str, target: str) -> None:
        _one_call(lambda: self._native.rename(source, target, False))

    def delete(self, path: str) -> None:
        if not _one_call(lambda: self._native.delete(path, True)):
            raise Refused("false")

    def look(self, path: str) -> str | int | None:
        """What it is: DIRECTORY, or the length of a file."""
        try:
            found = _one_call(lambda: self._native.get_file_info(path))
        except Refused:
            return None
        return DIRECTORY if found.isdir else int(found.length)

    def list(self, path: str) -> dict[str, str | int] | None:
        """The same of every name in it; None when it is not there."""
        try:
            rows = _one_call(lambda: list(self._native.list_status(path, False)))
        except Refused:
            return None
        return {
            row.path.rpartition("/")[2]: DIRECTORY if row.isdir else int(row.length) for row in rows
        }

    # Bytes.

    def write(self, path: str, data: bytes) -> None:
        options = WriteOptions(block_size=BLOCK_BYTES)
        self._put(_one_call(lambda: self._native.create(path, options)), data)

    def append(self, path: str, data: bytes) -> None:
        try:
            target = self._native.append(path)
        except FileNotFoundError as error:
            raise Refused("FileNotFoundException") from error
        except (RuntimeError, OSError) as error:
            raise Unknown(_first_line(error)) from error
        self._put(target, data)

    def _put(self, target: Any, data: bytes) -> None:
        self._kept.append(target)
        try:
            if data:
                target.write(data)
            target.close()
        except (RuntimeError, OSError) as error:
            raise Unknown(_first_line(error)) from error
        self._kept.pop()

    def read(self, path: str, writer: str) -> Any:
        """Its records, NO_FILE, or what is wrong with its bytes."""
        try:
            data = bytes(self._native.read(path).read())
        except FileNotFoundError:
            return NO_FILE
        except (RuntimeError, OSError) as error:
            raise Unknown(_first_line(error)) from error
        try:
            return records_of(data, writer)
        except ValueError as error:
            return f"damaged {error}"


def _one_call(ask: Callable[[], T]) -> T:
    """The result of what is one call to a NameNode."""
    try:
        return ask()
    except FileNotFoundError as error:
        raise Refused("FileNotFoundException") from error
    except FileExistsError as error:
        raise Refused("FileAlreadyExistsException") from error
    except (RuntimeError, OSError) as error:
        raise Unknown(_first_line(error)) from error


def _first_line(error: BaseException) -> str:
    text = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}"[:300]


class OwnClient(NativeClient):
    """Names by our failover proxy, which keeps the ids of a call while it repeats it."""

    def __init__(self, conf_dir: str, name: str) -> None:
        super().__init__(conf_dir, name)
        settings = ClientSettings.from_configuration(read_configuration(conf_dir))
        (nodes,) = settings.nameservices.values()
        self._runner = asyncio.Runner()
        self._proxy = NameNodeProxy(
            [node.rpc for node in nodes],
            network=TcpNetwork(),
            dice=RealDice(),
            user=current_user(),
            backoff=BACKOFF,
            timeout_ms=CALL_MS,
        )

    def namenode_of(self, kind: Kind) -> str:
        by_native = kind in (Kind.WRITE, Kind.APPEND, Kind.READ)
        return "" if by_native else self._proxy.address.host

    def _call(self, method: str, request: Message) -> Any:
        try:
            return self._runner.run(self._proxy.call(method, request))
        except (FileNotFound, FileAlreadyExists) as fault:
            raise Refused(fault.java_class.rpartition(".")[2]) from fault
        except RemoteFault as fault:
            raise Unknown(str(fault).partition("\n")[0][:300]) from fault
        except HdfsdError as error:
            raise Unknown(_first_line(error)) from error

    def mkdir(self, path: str) -> None:
        request = pb.MkdirsRequestProto(src=path, masked=MODE, createParent=True)
        self._call("mkdirs", request)

    def create(self, path: str) -> None:
        request = pb.CreateRequestProto(
            src=path,
            masked=MODE,
            clientName=self._name,
            createFlag=pb.CREATE,
            createParent=True,
            replication=3,
            blockSize=BLOCK_BYTES,
        )
        made = self._call("create", request)
        end = pb.CompleteRequestProto(src=path, clientName=self._name, fileId=made.fs.fileId)
        if not self._call("complete", end).result:
            raise Unknown("complete answers false")

    def rename(self, source: str, target: str) -> None:
        request = pb.Rename2RequestProto(src=source, dst=target, overwriteDest=False)
        self._call("rename2", request)

    def delete(self, path: str) -> None:
        if not self._call("delete", pb.DeleteRequestProto(src=path, recursive=True)).result:
            raise Refused("false")

    def look(self, path: str) -> str | int | None:
        answer = self._call("getFileInfo", pb.GetFileInfoRequestProto(src=path))
        return _seen(answer.fs) if answer.HasField("fs") else None

    def list(self, path: str) -> dict[str, str | int] | None:
        request = pb.GetListingRequestProto(src=path, startAfter=b"", needLocation=False)
        answer = self._call("getListing", request)
        if not answer.HasField("dirList"):
            return None
        assert not answer.dirList.remainingEntries, f"{path} has more names than one answer"
        return {row.path.decode(): _seen(row) for row in answer.dirList.partialListing}


def _seen(row: Any) -> str | int:
    is_directory = row.fileType == hdfs.HdfsFileStatusProto.IS_DIR
    return DIRECTORY if is_directory else int(row.length)
