"""Core. The operations of WebHDFS: which call each makes, from which parameters, and its answer.

Names, checks and texts as of Hadoop's hdfs.web.resources and NamenodeWebHdfsMethods.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hdfsd.base.errors import IllegalArgument, Unsupported
from hdfsd.web import webhdfs_json
from hdfsd.wire.messages import Message, client_namenode, hdfs

ROOT = "/webhdfs/v1"
ANYBODY = "dr.who"
"""hadoop.http.staticuser.user: who asks without a name."""
USER_PATTERN = "^[A-Za-z_][A-Za-z0-9._-]*[$]?$"
INT_MAX = (1 << 31) - 1

Parameters = Mapping[str, str]
"""By name in lower case."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One of them: the RPC it makes, with which request, and the JSON of its answer."""

    method: str
    request: Callable[[str, Parameters], Message]
    answer: Callable[[Any], webhdfs_json.Json] | None = None
    """None: the answer is empty."""
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for, understood."""

    user: str
    operation: Operation
    request: Message


def understood(http_method: str, path: str, query: Parameters) -> Asked:
    """Raises IllegalArgument or Unsupported, in Hadoop's words."""
    parameters = {name.lower(): value for name, value in query.items()}
    verb = "GET" if http_method == "HEAD" else http_method
    user = _user(parameters)
    name = parameters.get("op", "").upper()
    if not name:
        raise Unsupported("op=NULL is not supported")
    operation = OPERATIONS.get((verb, name))
    if operation is None:
        if name in NAMES.get(verb, ()):
            raise Unsupported(f"op={name} is not built in hdfsd; see docs/COVERAGE.md")
        raise _invalid("op", f"{name} is not a valid {verb} operation.")
    for needed in operation.required:
        if not parameters.get(needed):
            raise IllegalArgument(f"Required param {needed} for op: {name} is null or empty")
    return Asked(user, operation, operation.request(path.removeprefix(ROOT) or "/", parameters))


def _user(parameters: Parameters) -> str:
    user = parameters.get("user.name") or ANYBODY
    if re.fullmatch(USER_PATTERN, user) is None:
        raise _invalid(
            "user.name", f'Invalid value: "{user}" does not belong to the domain {USER_PATTERN}'
        )
    return user


def _integer(parameters: Parameters, name: str, default: int) -> int:
    text = parameters.get(name, "")
    if not text:
        return default
    if re.fullmatch(r"[+-]?\d+", text, re.ASCII) is None or abs(int(text)) > INT_MAX:
        raise _invalid(name, f'Failed to parse "{text}" as a radix-10 integer.')
    return int(text)


def _invalid(name: str, reason: str) -> IllegalArgument:
    return IllegalArgument(f'Invalid value for webhdfs parameter "{name}": {reason}')


def _allow(path: str, parameters: Parameters) -> Message:
    return client_namenode.AllowSnapshotRequestProto(snapshotRoot=path)


def _disallow(path: str, parameters: Parameters) -> Message:
    return client_namenode.DisallowSnapshotRequestProto(snapshotRoot=path)


def _create(path: str, parameters: Parameters) -> Message:
    name = parameters.get("snapshotname") or None
    return client_namenode.CreateSnapshotRequestProto(snapshotRoot=path, snapshotName=name)


def _delete(path: str, parameters: Parameters) -> Message:
    return client_namenode.DeleteSnapshotRequestProto(
        snapshotRoot=path, snapshotName=parameters["snapshotname"]
    )


def _rename(path: str, parameters: Parameters) -> Message:
    return client_namenode.RenameSnapshotRequestProto(
        snapshotRoot=path,
        snapshotOldName=parameters["oldsnapshotname"],
        snapshotNewName=parameters["snapshotname"],
    )


def _difference(path: str, parameters: Parameters) -> Message:
    return client_namenode.GetSnapshotDiffReportRequestProto(
        snapshotRoot=path,
        fromSnapshot=parameters.get("oldsnapshotname", ""),
        toSnapshot=parameters.get("snapshotname", ""),
    )


def _difference_page(path: str, parameters: Parameters) -> Message:
    cursor = hdfs.SnapshotDiffReportCursorProto(
        startPath=parameters.get("snapshotdiffstartpath", "").encode(),
        index=_integer(parameters, "snapshotdiffindex", -1),
    )
    return client_namenode.GetSnapshotDiffReportListingRequestProto(
        snapshotRoot=path,
        fromSnapshot=parameters.get("oldsnapshotname", ""),
        toSnapshot=parameters.get("snapshotname", ""),
        cursor=cursor,
    )


def _directories(path: str, parameters: Parameters) -> Message:
    return client_namenode.GetSnapshottableDirListingRequestProto()


def _snapshots(path: str, parameters: Parameters) -> Message:
    return client_namenode.GetSnapshotListingRequestProto(snapshotRoot=path)


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("PUT", "ALLOWSNAPSHOT"): Operation("allowSnapshot", _allow),
    ("PUT", "DISALLOWSNAPSHOT"): Operation("disallowSnapshot", _disallow),
    ("PUT", "CREATESNAPSHOT"): Operation(
        "createSnapshot", _create, lambda response: {"Path": response.snapshotPath}
    ),
    ("PUT", "RENAMESNAPSHOT"): Operation(
        "renameSnapshot", _rename, required=("oldsnapshotname", "snapshotname")
    ),
    ("DELETE", "DELETESNAPSHOT"): Operation("deleteSnapshot", _delete, required=("snapshotname",)),
    ("GET", "GETSNAPSHOTDIFF"): Operation(
        "getSnapshotDiffReport",
        _difference,
        lambda response: webhdfs_json.difference(response.diffReport),
    ),
    ("GET", "GETSNAPSHOTDIFFLISTING"): Operation(
        "getSnapshotDiffReportListing",
        _difference_page,
        lambda response: webhdfs_json.difference_page(response.diffReport),
    ),
    ("GET", "GETSNAPSHOTTABLEDIRECTORYLIST"): Operation(
        "getSnapshottableDirListing",
        _directories,
        lambda response: webhdfs_json.snapshottable_directories(response.snapshottableDirList),
    ),
    ("GET", "GETSNAPSHOTLIST"): Operation(
        "getSnapshotListing",
        _snapshots,
        lambda response: webhdfs_json.snapshots(response.snapshotList),
    ),
}
"""What is built, by HTTP method and name."""

NAMES: Mapping[str, frozenset[str]] = {
    verb: frozenset(names.split())
    for verb, names in {
        "GET": """OPEN GETFILESTATUS LISTSTATUS GETCONTENTSUMMARY GETQUOTAUSAGE GETFILECHECKSUM
            GETHOMEDIRECTORY GETDELEGATIONTOKEN GET_BLOCK_LOCATIONS GETFILEBLOCKLOCATIONS
            GETACLSTATUS GETXATTRS GETTRASHROOT LISTXATTRS GETALLSTORAGEPOLICY GETSTORAGEPOLICY
            GETECPOLICY CHECKACCESS LISTSTATUS_BATCH GETSERVERDEFAULTS GETSNAPSHOTDIFF
            GETSNAPSHOTDIFFLISTING GETSNAPSHOTTABLEDIRECTORYLIST GETLINKTARGET GETFILELINKSTATUS
            GETSTATUS GETECPOLICIES GETECCODECS GETTRASHROOTS GETSNAPSHOTLIST""",
        "PUT": """CREATE MKDIRS CREATESYMLINK RENAME SETREPLICATION SETOWNER SETPERMISSION SETTIMES
            RENEWDELEGATIONTOKEN CANCELDELEGATIONTOKEN MODIFYACLENTRIES REMOVEACLENTRIES
            REMOVEDEFAULTACL REMOVEACL SATISFYSTORAGEPOLICY SETACL SETXATTR REMOVEXATTR
            ENABLEECPOLICY DISABLEECPOLICY SETECPOLICY ALLOWSNAPSHOT DISALLOWSNAPSHOT
            CREATESNAPSHOT RENAMESNAPSHOT SETSTORAGEPOLICY SETQUOTA SETQUOTABYSTORAGETYPE""",
        "POST": "APPEND CONCAT TRUNCATE UNSETECPOLICY UNSETSTORAGEPOLICY",
        "DELETE": "DELETE DELETESNAPSHOT",
    }.items()
}
"""All of Hadoop's; those that are not built are refused by name."""
