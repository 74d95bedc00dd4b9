"""Data. The tree of errors, and which Java class each is on the wire.

    HdfsdError
    ├── RemoteFault            has a Java class: raised by our handlers, rebuilt by our clients
    │   ├── StandbyError … one subclass per class that somebody handles
    ├── PeerError              the peer broke the protocol: the connection ends
    ├── LinkError              the call did not get its answer
    │   ├── ConnectFailed      nothing was sent: safe to try elsewhere
    │   └── OutcomeUnknown     sent, no answer: it may have happened
    │       └── DeadlineExceeded
    ├── QuorumLost             a majority of journals can't take what the writer needs (P2)
    ├── CorruptData            bytes on disk are not what they should be: file, offset, cause
    ├── NotBuilt               a thing of Hadoop's that hdfsd does not have yet
    ├── ConfigError            the configuration can't be used as it is
    ├── StorageError           a directory can't be used as it is: missing, locked, foreign, full
    └── InvariantBroken        never caught: the process stops

Two kinds, never mixed: what a caller can handle, and what must stop the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class HdfsdError(Exception):
    """Root of all errors that hdfsd raises on purpose."""


class RemoteFault(HdfsdError):
    """An error with a Java class name, as it stands in an RPC response header."""

    java_class: ClassVar[str] = "java.io.IOException"
    registry: ClassVar[dict[str, type[RemoteFault]]] = {}

    def __init__(self, message: str, wire_class: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.wire_class = wire_class or self.java_class
        """The class as received; differs from `java_class` for classes nobody here handles."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.java_class in cls.registry:
            raise TypeError(f"{cls.java_class} is registered twice")
        cls.registry[cls.java_class] = cls

    @classmethod
    def of(cls, java_class: str, message: str) -> RemoteFault:
        """The registered subclass for a Java class, or a plain RemoteFault that names it."""
        kind = cls.registry.get(java_class, RemoteFault)
        return kind(message, java_class)

    def __str__(self) -> str:
        return f"{self.wire_class}: {self.message}"


class IOFault(RemoteFault):
    """java.io.IOException, by name."""

    java_class = "java.io.IOException"


class StandbyError(RemoteFault):
    """This NameNode can't take the call in its state; another can (clients fail over)."""

    java_class = "org.apache.hadoop.ipc.StandbyException"


class RetriableError(RemoteFault):
    """Ask the same server again after a delay."""

    java_class = "org.apache.hadoop.ipc.RetriableException"


class ObserverRetryOnActive(RemoteFault):
    java_class = "org.apache.hadoop.ipc.ObserverRetryOnActiveException"


class NoSuchMethod(RemoteFault):
    java_class = "org.apache.hadoop.ipc.RpcNoSuchMethodException"


class NoSuchProtocol(RemoteFault):
    java_class = "org.apache.hadoop.ipc.RpcNoSuchProtocolException"


class RpcServerError(RemoteFault):
    java_class = "org.apache.hadoop.ipc.RpcServerException"


class RpcVersionMismatch(RemoteFault):
    java_class = "org.apache.hadoop.ipc.RPC$VersionMismatch"


class InvalidProtocolBuffer(RemoteFault):
    java_class = "org.apache.hadoop.thirdparty.protobuf.InvalidProtocolBufferException"


class Unsupported(RemoteFault):
    java_class = "java.lang.UnsupportedOperationException"


class IllegalArgument(RemoteFault):
    java_class = "java.lang.IllegalArgumentException"


class HadoopIllegalArgument(RemoteFault):
    java_class = "org.apache.hadoop.HadoopIllegalArgumentException"


class IllegalState(RemoteFault):
    java_class = "java.lang.IllegalStateException"


class FileNotFound(RemoteFault):
    java_class = "java.io.FileNotFoundException"


class AccessControl(RemoteFault):
    java_class = "org.apache.hadoop.security.AccessControlException"


class AuthorizationFailed(RemoteFault):
    java_class = "org.apache.hadoop.security.authorize.AuthorizationException"


class InvalidPath(RemoteFault):
    java_class = "org.apache.hadoop.fs.InvalidPathException"


class FileAlreadyExists(RemoteFault):
    java_class = "org.apache.hadoop.fs.FileAlreadyExistsException"


class ParentNotDirectory(RemoteFault):
    java_class = "org.apache.hadoop.fs.ParentNotDirectoryException"


class PathIsNotDirectory(RemoteFault):
    java_class = "org.apache.hadoop.fs.PathIsNotDirectoryException"


class PathIsNotEmptyDirectory(RemoteFault):
    java_class = "org.apache.hadoop.fs.PathIsNotEmptyDirectoryException"


class UnresolvedPath(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.protocol.UnresolvedPathException"


class MaxComponentLength(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.protocol.FSLimitException$PathComponentTooLongException"


class MaxDirectoryItems(RemoteFault):
    java_class = (
        "org.apache.hadoop.hdfs.protocol.FSLimitException$MaxDirectoryItemsExceededException"
    )


class NSQuotaExceeded(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.protocol.NSQuotaExceededException"


class DSQuotaExceeded(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.protocol.DSQuotaExceededException"


class TypeQuotaExceeded(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.protocol.QuotaByStorageTypeExceededException"


class AclFault(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.protocol.AclException"


class XAttrNotFound(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.protocol.XAttrNotFoundException"


class ListingStartAfterNotFound(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.protocol.DirectoryListingStartAfterNotFoundException"


class AlreadyBeingCreated(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.protocol.AlreadyBeingCreatedException"


class RecoveryInProgress(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.protocol.RecoveryInProgressException"


class SnapshotFault(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.protocol.SnapshotException"


class SnapshotReadOnly(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.protocol.SnapshotAccessControlException"


class UnregisteredNode(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.protocol.UnregisteredNodeException"


class LeaseExpired(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.server.namenode.LeaseExpiredException"


class NotReplicatedYet(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.server.namenode.NotReplicatedYetException"


class SafeModeFault(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.server.namenode.SafeModeException"


class UnsupportedAction(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.server.namenode.UnsupportedActionException"


class DisallowedDatanode(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.server.protocol.DisallowedDatanodeException"


class IncorrectVersion(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.server.common.IncorrectVersionException"


class InconsistentStorage(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.server.common.InconsistentFSStateException"


class HealthCheckFailed(RemoteFault):
    java_class = "org.apache.hadoop.ha.HealthCheckFailedException"


class ServiceFailed(RemoteFault):
    java_class = "org.apache.hadoop.ha.ServiceFailedException"


class JournalOutOfSync(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.qjournal.protocol.JournalOutOfSyncException"


class JournalNotFormatted(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.qjournal.protocol.JournalNotFormattedException"


class NewerTxnId(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.qjournal.server.NewerTxnIdException"


class EditsCacheMiss(RemoteFault):
    """These transactions are no longer, or not yet, in the JournalNode's memory: read the files."""

    java_class = "org.apache.hadoop.hdfs.qjournal.server.JournaledEditsCache$CacheMissException"


class ReplicaNotFound(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.server.datanode.ReplicaNotFoundException"


class InvalidToken(RemoteFault):
    java_class = "org.apache.hadoop.security.token.SecretManager$InvalidToken"


class PeerError(HdfsdError):
    """The peer sent what the protocol does not allow; the connection ends with this reason."""


class LinkError(HdfsdError):
    """A call without an answer."""


class ConnectFailed(LinkError):
    """No connection: the call was never sent."""


class OutcomeUnknown(LinkError):
    """The link was lost after the call was sent: it may or may not have happened."""


class DeadlineExceeded(OutcomeUnknown):
    """No answer in time."""


class QuorumLost(HdfsdError):
    """A majority of JournalNodes failed an operation; `reasons` says why, per journal."""

    def __init__(self, what: str, reasons: Mapping[str, str]) -> None:
        told = "; ".join(f"{journal}: {reason}" for journal, reason in reasons.items())
        super().__init__(f"{what}: no quorum of journals ({told or 'no journal answered'})")
        self.what = what
        self.reasons = dict(reasons)


class CorruptData(HdfsdError):
    """Bytes that are not what they should be."""

    def __init__(self, where: str, offset: int | None, cause: str) -> None:
        place = where if offset is None else f"{where} at offset {offset}"
        super().__init__(f"{place}: {cause}")
        self.where = where
        self.offset = offset
        self.cause = cause


class NotBuilt(HdfsdError):
    """Something of Hadoop's that hdfsd does not have yet; docs/COVERAGE.md lists it as missing."""


class ConfigError(HdfsdError):
    """The configuration can't be used as it is; names the key and what to write instead."""


class StorageError(HdfsdError):
    """A storage directory can't be used as it is; names it, and the way out."""


class InvariantBroken(HdfsdError):
    """A promise of docs/invariants.md does not hold: the process must stop, nobody catches this."""


def ensure(invariant: str, holds: bool, *details: object) -> None:
    """Raises InvariantBroken, naming the invariant of docs/invariants.md, unless it holds."""
    if not holds:
        raise InvariantBroken(f"{invariant}: {'; '.join(map(str, details))}")


def cause_of(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error to tell of a group: a broken promise, else the first of ours.

    The group itself when something in it is no error of ours: that is a fault of the program, and
    everything about it is wanted.
    """
    found: list[BaseException] = []
    groups: list[BaseException] = [failures]
    while groups:
        error = groups.pop(0)
        if isinstance(error, BaseExceptionGroup):
            groups[:0] = error.exceptions
        else:
            found.append(error)
    if not all(isinstance(error, HdfsdError) for error in found):
        return failures
    return next((error for error in found if isinstance(error, InvariantBroken)), found[0])
