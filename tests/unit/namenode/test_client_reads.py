"""Calls that only look: what they show, to whom, and that they change nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from small_namenode import Desktop, block_of, extended

from hdfsd.base.errors import (
    AccessControl,
    FileNotFound,
    IllegalArgument,
    IOFault,
    RetriableError,
    SafeModeFault,
)
from hdfsd.base.ids import Block, TxId
from hdfsd.editlog.ops import TimesOp
from hdfsd.namenode.client_reads import OPEN_FILES_PER_BATCH
from hdfsd.namenode.gate import HAState
from hdfsd.wire.messages import (
    acl,
    client_namenode,
    encryption,
    erasure_coding,
    ha_service,
    hdfs,
    security,
    xattr,
)

c = client_namenode
MODE = acl.FsPermissionProto(perm=0o644)
HUGE = 1 << 62
HOUR_MS = 3_600_000


def make_file(desktop: Desktop, path: str, *lengths: int, close: bool = True) -> list[Block]:
    """A file with blocks of these lengths on d1 and d2; left open, its last block is not reported
    but has this length in an fsync."""
    desktop.ask(
        "create",
        c.CreateRequestProto(
            src=path,
            masked=MODE,
            clientName="c1",
            createFlag=1,
            createParent=True,
            replication=2,
            blockSize=100,
        ),
        call_id=len(desktop.state.retry) + 1,
    )
    blocks: list[Block] = []
    for index, length in enumerate(lengths):
        request = c.AddBlockRequestProto(src=path, clientName="c1")
        if blocks:
            request.previous.CopyFrom(extended(blocks[-1]))
        blocks.append(block_of(desktop.ask("add_block", request).block, length))
        if close or index < len(lengths) - 1:
            desktop.received(blocks[-1], "d1", "d2")
    if close:
        request = c.CompleteRequestProto(src=path, clientName="c1")
        if blocks:
            request.last.CopyFrom(extended(blocks[-1]))
        assert desktop.ask("complete", request).result
    return blocks


def with_nodes(**options: Any) -> Desktop:
    desktop = Desktop(**options)
    desktop.add_nodes("d1", "d2")
    return desktop


def locations(
    desktop: Desktop, path: str, offset: int = 0, length: int = HUGE, **about: Any
) -> Any:
    request = c.GetBlockLocationsRequestProto(src=path, offset=offset, length=length)
    return desktop.ask("get_block_locations", request, **about).locations


# --- block locations ---


@pytest.mark.parametrize(
    ("offset", "length", "offsets"),
    [
        (0, HUGE, [0, 100, 200]),
        (0, (1 << 63) - 1, [0, 100, 200]),
        (0, 100, [0]),
        (0, 101, [0, 100]),
        (99, 1, [0]),
        (99, 2, [0, 100]),
        (100, 100, [100]),
        (0, 0, [0]),
        (229, 1, [200]),
        (230, 1, []),
        (1000, 1, []),
    ],
)
def test_which_blocks_a_range_is_answered_with(
    offset: int, length: int, offsets: list[int]
) -> None:
    desktop = with_nodes()
    make_file(desktop, "/f", 100, 100, 30)
    found = locations(desktop, "/f", offset, length)
    assert [block.offset for block in found.blocks] == offsets
    assert (found.fileLength, found.underConstruction, found.isLastBlockComplete) == (
        230,
        False,
        True,
    )
    assert (found.lastBlock.offset, found.lastBlock.b.numBytes) == (200, 30)
    assert all(len(block.locs) == 2 for block in found.blocks)


@pytest.mark.parametrize(("offset", "length"), [(1 << 63, 1), (0, 1 << 63), ((1 << 64) - 1, 5)])
def test_negative_ranges_are_refused(offset: int, length: int) -> None:
    desktop = with_nodes()
    make_file(desktop, "/f", 10)
    with pytest.raises(IllegalArgument, match=r"is not supported\. File: /f"):
        locations(desktop, "/f", offset, length)


@pytest.mark.parametrize(
    ("lengths", "offsets", "size", "last_offset"),
    [((0,), [0], 0, 0), ((100, 0), [0, 100], 100, 100), ((100, 40), [0, 100], 100, 100)],
)
def test_a_file_that_is_written_shows_its_open_block_apart(
    lengths: tuple[int, ...], offsets: list[int], size: int, last_offset: int
) -> None:
    desktop = with_nodes()
    make_file(desktop, "/f", *lengths, close=False)
    found = locations(desktop, "/f")
    assert [block.offset for block in found.blocks] == offsets
    assert (found.fileLength, found.underConstruction) == (size, True)
    assert not found.isLastBlockComplete
    assert found.lastBlock.offset == last_offset
    assert len(found.lastBlock.locs) == 2


def test_an_empty_file_has_no_blocks_and_no_last_one() -> None:
    desktop = with_nodes()
    make_file(desktop, "/f")
    found = locations(desktop, "/f")
    assert (found.fileLength, list(found.blocks), found.HasField("lastBlock")) == (0, [], False)
    assert not found.isLastBlockComplete


def test_corrupt_replicas_are_not_offered() -> None:
    desktop = with_nodes()
    make_file(desktop, "/f", 10)
    bad = locations(desktop, "/f").blocks[0]
    del bad.locs[1:]
    desktop.ask("report_bad_blocks", c.ReportBadBlocksRequestProto(blocks=[bad]))
    (left,) = locations(desktop, "/f").blocks
    assert [n.id.hostName for n in left.locs] == [
        n for n in ("d1", "d2") if n != bad.locs[0].id.hostName
    ]
    assert not left.corrupt


def test_the_readers_own_replica_comes_first() -> None:
    desktop = with_nodes()
    make_file(desktop, "/f", 10)
    for name, address in (("d1", "10.0.0.1"), ("d2", "10.0.0.2")):
        (block,) = locations(desktop, "/f", address=address).blocks
        assert block.locs[0].id.hostName == name


def test_in_safe_mode_a_block_that_nobody_reported_yet_is_waited_for() -> None:
    """Else a client would take the file for lost while DataNodes are still reporting."""
    writer = with_nodes()
    make_file(writer, "/f", 10)
    make_file(writer, "/g", 10)
    make_file(writer, "/empty")
    restarted = Desktop(active=False)
    writer.replay_into(restarted)
    restarted.state.blocks.loaded(0)
    text = "Zero blocklocations for /f. Name node is in safe mode.\nThe reported blocks 0 needs"
    with pytest.raises(SafeModeFault, match=text):
        locations(restarted, "/f")
    restarted.activate()
    with pytest.raises(RetriableError, match=f"SafeModeException: {text}"):
        locations(restarted, "/f")
    assert not locations(restarted, "/empty").blocks


def test_out_of_safe_mode_a_lost_block_has_no_locations() -> None:
    writer = with_nodes()
    make_file(writer, "/f", 10)
    other = Desktop(active=False)
    writer.replay_into(other)
    (block,) = locations(other, "/f").blocks
    assert list(block.locs) == []


@pytest.mark.parametrize(
    ("late", "active", "safe", "logged"),
    [
        (True, True, False, True),
        (False, True, False, False),
        (True, False, False, False),
        (True, True, True, False),
    ],
)
def test_only_an_active_out_of_safe_mode_moves_the_access_time(
    late: bool, active: bool, safe: bool, logged: bool
) -> None:
    desktop = with_nodes()
    make_file(desktop, "/f", 10)
    if late:
        desktop.clock.ms += HOUR_MS + 1
    if safe:
        desktop.state.blocks.enter_safe_mode()
    if not active:
        desktop.state.ha_state = HAState.STANDBY
    before = len(desktop.log.frames)
    locations(desktop, "/f")
    ops = desktop.log.ops()[before:]
    assert [type(op) for op in ops] == ([TimesOp] if logged else [])


def test_reading_asks_for_the_right_to_read() -> None:
    desktop = with_nodes()
    make_file(desktop, "/f", 10)
    request = c.SetPermissionRequestProto(src="/f", permission=acl.FsPermissionProto(perm=0o600))
    desktop.ask("set_permission", request)
    with pytest.raises(AccessControl):
        locations(desktop, "/f", user="eve")


@pytest.mark.parametrize("path", ["/no", "/d"])
def test_only_files_have_blocks(path: str) -> None:
    desktop = with_nodes()
    make_file(desktop, "/d/f", 10)
    with pytest.raises(FileNotFound):
        locations(desktop, path)


# --- listing and status ---


def listing(desktop: Desktop, path: str, start: bytes = b"", *, located: bool = False) -> Any:
    request = c.GetListingRequestProto(src=path, startAfter=start, needLocation=located)
    return desktop.ask("get_listing", request)


def test_listings_come_in_parts() -> None:
    desktop = with_nodes(dfs__ls__limit="2")
    for name in "abc":
        make_file(desktop, f"/d/{name}", 10)
    first = listing(desktop, "/d").dirList
    assert [s.path for s in first.partialListing] == [b"a", b"b"]
    assert first.remainingEntries == 1
    assert not first.partialListing[0].HasField("locations")
    rest = listing(desktop, "/d", b"b").dirList
    assert ([s.path for s in rest.partialListing], rest.remainingEntries) == ([b"c"], 0)


def test_a_listing_with_locations_ends_when_there_are_enough_of_them() -> None:
    desktop = with_nodes(dfs__ls__limit="5")
    for name in "abcd":
        make_file(desktop, f"/d/{name}", 100, 10)
    first = listing(desktop, "/d", located=True).dirList
    # 2 blocks with 2 replicas are 4 locations: the second file passes the limit.
    assert [s.path for s in first.partialListing] == [b"a", b"b"]
    assert first.remainingEntries == 2
    assert [len(s.locations.blocks) for s in first.partialListing] == [2, 2]
    rest = listing(desktop, "/d", b"b", located=True).dirList
    assert ([s.path for s in rest.partialListing], rest.remainingEntries) == ([b"c", b"d"], 0)


def test_directories_are_listed_without_locations_and_files_as_themselves() -> None:
    desktop = with_nodes()
    make_file(desktop, "/d/sub/f", 10)
    (directory,) = listing(desktop, "/d", located=True).dirList.partialListing
    assert not directory.HasField("locations")
    (itself,) = listing(desktop, "/d/sub/f", located=True).dirList.partialListing
    assert itself.path == b""
    assert itself.locations.fileLength == 10
    assert not listing(desktop, "/no").HasField("dirList")


def test_status_of_files_directories_and_nothing() -> None:
    desktop = with_nodes()
    make_file(desktop, "/d/f", 10)

    def info(name: str, request: Any) -> Any:
        return desktop.ask(name, request)

    assert info("get_file_info", c.GetFileInfoRequestProto(src="/d/f")).fs.length == 10
    assert not info("get_file_info", c.GetFileInfoRequestProto(src="/no")).HasField("fs")
    assert info("get_file_link_info", c.GetFileLinkInfoRequestProto(src="/d/f")).fs.length == 10
    located = info("get_located_file_info", c.GetLocatedFileInfoRequestProto(src="/d/f")).fs
    assert len(located.locations.blocks) == 1
    directory = info("get_located_file_info", c.GetLocatedFileInfoRequestProto(src="/d")).fs
    assert not directory.HasField("locations")
    missing = info("get_located_file_info", c.GetLocatedFileInfoRequestProto(src="/no"))
    assert not missing.HasField("fs")


def test_a_file_is_closed_or_not_or_not_there() -> None:
    desktop = with_nodes()
    make_file(desktop, "/open", 10, close=False)
    make_file(desktop, "/closed", 10)
    closed = {
        path: desktop.ask("is_file_closed", c.IsFileClosedRequestProto(src=path)).result
        for path in ("/open", "/closed")
    }
    assert closed == {"/open": False, "/closed": True}
    with pytest.raises(FileNotFound):
        desktop.ask("is_file_closed", c.IsFileClosedRequestProto(src="/no"))


def test_sums_quotas_and_sizes() -> None:
    desktop = with_nodes()
    make_file(desktop, "/d/f", 100, 10)
    asked = desktop.ask("get_content_summary", c.GetContentSummaryRequestProto(path="/d"))
    summary = asyncio.run(asked).summary
    assert (summary.length, summary.fileCount, summary.directoryCount) == (110, 1, 1)
    assert summary.spaceConsumed == 220
    asked = desktop.ask("get_quota_usage", c.GetQuotaUsageRequestProto(path="/d"))
    usage = asyncio.run(asked).usage
    assert (usage.fileAndDirectoryCount, usage.spaceConsumed) == (2, 220)
    size = desktop.ask(
        "get_preferred_block_size", c.GetPreferredBlockSizeRequestProto(filename="/d/f")
    )
    assert size.bsize == 100


@pytest.mark.parametrize(("mode", "allowed"), [(4, True), (2, False), (6, False)])
def test_check_access_looks_at_the_wanted_bits(mode: int, allowed: bool) -> None:
    desktop = with_nodes()
    make_file(desktop, "/f")
    request = c.CheckAccessRequestProto(path="/f", mode=mode)
    if allowed:
        desktop.ask("check_access", request, user="eve")
        return
    with pytest.raises(AccessControl):
        desktop.ask("check_access", request, user="eve")


def test_a_file_is_no_link() -> None:
    desktop = with_nodes()
    make_file(desktop, "/f")
    with pytest.raises(IOFault):
        desktop.ask("get_link_target", c.GetLinkTargetRequestProto(path="/f"))


def test_open_files_in_batches_below_a_path() -> None:
    desktop = with_nodes()
    make_file(desktop, "/a/1", close=False)
    make_file(desktop, "/b/2", close=False)
    make_file(desktop, "/a/3", close=False)
    make_file(desktop, "/a/closed")

    def ask(after: int, path: str = "/", user: str = "hdfs") -> Any:
        request = c.ListOpenFilesRequestProto(id=after, types=[c.ALL_OPEN_FILES], path=path)
        return desktop.ask("list_open_files", request, user=user)

    answer = ask(0)
    assert [e.path for e in answer.entries] == ["/a/1", "/b/2", "/a/3"]
    assert (answer.entries[0].clientName, answer.entries[0].clientMachine) == ("c1", "10.0.0.1")
    assert not answer.hasMore
    assert [e.path for e in ask(answer.entries[0].id).entries] == ["/b/2", "/a/3"]
    assert [e.path for e in ask(0, "/a").entries] == ["/a/1", "/a/3"]
    assert [e.path for e in ask(0, "/a/1").entries] == ["/a/1"]
    assert [e.path for e in ask(0, "/a/").entries] == ["/a/1", "/a/3"]
    request = c.ListOpenFilesRequestProto(id=0, types=[c.BLOCKING_DECOMMISSION], path="/")
    assert not desktop.ask("list_open_files", request).entries
    with pytest.raises(AccessControl):
        ask(0, user="eve")


def test_the_last_batch_of_open_files_says_that_there_is_no_more() -> None:
    desktop = with_nodes()
    for number in range(OPEN_FILES_PER_BATCH + 1):
        make_file(desktop, f"/d/{number}", close=False)
    first = desktop.ask("list_open_files", c.ListOpenFilesRequestProto(id=0))
    assert (len(first.entries), first.hasMore) == (OPEN_FILES_PER_BATCH, True)
    request = c.ListOpenFilesRequestProto(id=first.entries[-1].id)
    rest = desktop.ask("list_open_files", request)
    assert (len(rest.entries), rest.hasMore) == (1, False)


# --- the cluster ---


def test_figures_of_blocks_and_nodes() -> None:
    desktop = with_nodes()
    make_file(desktop, "/f", 10)
    stats = desktop.ask("get_fs_stats", c.GetFsStatusRequestProto())
    assert (stats.missing_blocks, stats.corrupt_blocks) == (0, 0)
    assert stats.capacity > stats.remaining > 0
    blocks = desktop.ask("get_fs_replicated_block_stats", c.GetFsReplicatedBlockStatsRequestProto())
    assert blocks.IsInitialized()
    groups = desktop.ask("get_fs_ec_block_group_stats", c.GetFsECBlockGroupStatsRequestProto())
    assert groups.IsInitialized()


@pytest.mark.parametrize(
    ("kind", "names"), [(c.ALL, ["d1", "d2"]), (c.LIVE, ["d1", "d2"]), (c.DEAD, [])]
)
def test_datanode_reports_are_for_superusers(kind: int, names: list[str]) -> None:
    desktop = with_nodes()
    report = desktop.ask("get_datanode_report", c.GetDatanodeReportRequestProto(type=kind))
    assert sorted(node.id.hostName for node in report.di) == names
    storages = desktop.ask(
        "get_datanode_storage_report", c.GetDatanodeStorageReportRequestProto(type=kind)
    )
    assert len(storages.datanodeStorageReports) == len(names)
    for name, request in (
        ("get_datanode_report", c.GetDatanodeReportRequestProto(type=kind)),
        ("get_datanode_storage_report", c.GetDatanodeStorageReportRequestProto(type=kind)),
    ):
        with pytest.raises(AccessControl):
            desktop.ask(name, request, user="eve")


def test_attributes() -> None:
    desktop = with_nodes()
    make_file(desktop, "/f", 10)
    attribute = xattr.XAttrProto(namespace=xattr.XAttrProto.USER, name="color", value=b"red")
    desktop.ask(
        "set_x_attr", xattr.SetXAttrRequestProto(src="/f", xAttr=attribute, flag=1), call_id=9
    )
    assert list(desktop.ask("get_x_attrs", xattr.GetXAttrsRequestProto(src="/f")).xAttrs) == [
        attribute
    ]
    (listed,) = desktop.ask("list_x_attrs", xattr.ListXAttrsRequestProto(src="/f")).xAttrs
    assert listed.name == "color"
    status = desktop.ask("get_acl_status", acl.GetAclStatusRequestProto(src="/f")).result
    assert (status.owner, status.permission.perm) == ("hdfs", 0o644)


def test_storage_policies() -> None:
    desktop = with_nodes()
    make_file(desktop, "/f", 10)
    policies = desktop.ask("get_storage_policies", c.GetStoragePoliciesRequestProto()).policies
    assert {"HOT", "COLD", "WARM", "ALL_SSD", "ONE_SSD", "LAZY_PERSIST"} <= {
        policy.name for policy in policies
    }
    policy = desktop.ask("get_storage_policy", c.GetStoragePolicyRequestProto(path="/f"))
    assert policy.storagePolicy.name == "HOT"
    assert list(policy.storagePolicy.creationPolicy.storageTypes) == [hdfs.DISK]


def test_what_hdfsd_does_not_have_is_never_there() -> None:
    desktop = with_nodes()
    make_file(desktop, "/f", 10)
    ask = desktop.ask
    policy = ask(
        "get_erasure_coding_policy", erasure_coding.GetErasureCodingPolicyRequestProto(src="/f")
    )
    assert not policy.HasField("ecPolicy")
    with pytest.raises(FileNotFound, match="Path not found: /no"):
        ask(
            "get_erasure_coding_policy",
            erasure_coding.GetErasureCodingPolicyRequestProto(src="/no"),
        )
    zone = ask("get_ez_for_path", encryption.GetEZForPathRequestProto(src="/f"))
    assert not zone.HasField("zone")
    key = ask("get_data_encryption_key", c.GetDataEncryptionKeyRequestProto())
    assert not key.HasField("dataEncryptionKey")
    token = ask("get_delegation_token", security.GetDelegationTokenRequestProto(renewer="x"))
    assert not token.HasField("token")
    snapshots = ask("get_snapshottable_dir_listing", c.GetSnapshottableDirListingRequestProto())
    assert not snapshots.HasField("snapshottableDirList")
    root = ask("get_enclosing_root", c.GetEnclosingRootRequestProto(filename="/f"))
    assert root.enclosingRootPath == "/"


def test_server_defaults_are_those_of_the_configuration() -> None:
    desktop = Desktop(dfs__blocksize="1m", dfs__replication="2")
    defaults = desktop.ask("get_server_defaults", c.GetServerDefaultsRequestProto()).serverDefaults
    assert (defaults.blockSize, defaults.replication) == (1 << 20, 2)
    assert defaults.checksumType == hdfs.CHECKSUM_CRC32C
    assert defaults.bytesPerChecksum == 512


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (HAState.INITIALIZING, ha_service.INITIALIZING),
        (HAState.ACTIVE, ha_service.ACTIVE),
        (HAState.STANDBY, ha_service.STANDBY),
        (HAState.OBSERVER, ha_service.OBSERVER),
    ],
)
def test_the_state_and_its_transaction(state: HAState, told: int) -> None:
    desktop = Desktop()
    desktop.state.ha_state = state
    desktop.state.applied_txid = TxId(7)
    answer = desktop.ask("get_ha_service_state", c.HAServiceStateRequestProto())
    assert answer.state == told
    assert desktop.ask("msync", c.MsyncRequestProto()).IsInitialized()
    txid = desktop.ask("get_current_edit_log_txid", c.GetCurrentEditLogTxidRequestProto())
    assert txid.txid == 7
    with pytest.raises(AccessControl):
        desktop.ask("get_current_edit_log_txid", c.GetCurrentEditLogTxidRequestProto(), user="eve")
