"""Driver. ClientProtocol: calls that only look. Holds P8 (corrupt replicas are not offered)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hdfsd.base.errors import FileNotFound, IllegalArgument, ObserverRetryOnActive
from hdfsd.base.ids import Block
from hdfsd.base.settings import ServerDefaults
from hdfsd.image.packing import PROTO_OF_STORAGE_TYPE
from hdfsd.namenode.desk import Desk
from hdfsd.namenode.gate import HAState
from hdfsd.namenode.turns import at_leisure
from hdfsd.namespace import mutate, query
from hdfsd.namespace.storage_policy import HOT_ID, POLICIES, POLICY_BY_ID, StoragePolicy
from hdfsd.rpc.coverage import partial
from hdfsd.rpc.server import Call
from hdfsd.wire.messages import acl, client_namenode, erasure_coding, ha_service, hdfs, xattr
from hdfsd.wire.messages import encryption as encryption_messages
from hdfsd.wire.messages import security as security_messages

CHECKSUM_TYPES = {
    "NULL": hdfs.CHECKSUM_NULL,
    "CRC32": hdfs.CHECKSUM_CRC32,
    "CRC32C": hdfs.CHECKSUM_CRC32C,
}
FS_ACTION_BITS = 7
"""AclEntryProto.FsActionProto is the rwx bits themselves: READ 4, WRITE 2, EXECUTE 1."""
LONG_MAX = (1 << 63) - 1
OPEN_FILES_PER_BATCH = 1000
"""dfs.namenode.list.openfiles.num.responses."""
HA_STATES = {
    HAState.INITIALIZING: ha_service.INITIALIZING,
    HAState.ACTIVE: ha_service.ACTIVE,
    HAState.STANDBY: ha_service.STANDBY,
    HAState.OBSERVER: ha_service.OBSERVER,
}


class ClientReads:
    """Handlers are named after the wire methods; requests and responses are those of the tables."""

    _desk: Desk
    _defaults: ServerDefaults

    # --- files and directories ---

    def get_file_info(
        self, request: client_namenode.GetFileInfoRequestProto, call: Call
    ) -> client_namenode.GetFileInfoResponseProto:
        desk = self._desk
        answer = client_namenode.GetFileInfoResponseProto()
        who = desk.who(call.caller)
        query.file_status(desk.state.namespace, who, request.src, into=answer.fs)
        return answer

    def get_file_link_info(
        self, request: client_namenode.GetFileLinkInfoRequestProto, call: Call
    ) -> client_namenode.GetFileLinkInfoResponseProto:
        desk = self._desk
        status = query.file_status(
            desk.state.namespace, desk.who(call.caller), request.src, follow=False
        )
        return client_namenode.GetFileLinkInfoResponseProto(fs=status)

    def get_located_file_info(
        self, request: client_namenode.GetLocatedFileInfoRequestProto, call: Call
    ) -> client_namenode.GetLocatedFileInfoResponseProto:
        desk = self._desk
        who = desk.who(call.caller)
        status = query.file_status(desk.state.namespace, who, request.src)
        if status is not None and status.fileType == hdfs.HdfsFileStatusProto.IS_FILE:
            file = query.located_status(desk.state.namespace, request.src)
            self._add_locations(status, file, request.src, call)
        return client_namenode.GetLocatedFileInfoResponseProto(fs=status)

    def get_listing(
        self, request: client_namenode.GetListingRequestProto, call: Call
    ) -> client_namenode.GetListingResponseProto:
        desk = self._desk
        listing = query.listing(
            desk.state.namespace, desk.who(call.caller), request.src, request.startAfter
        )
        if listing is None:
            return client_namenode.GetListingResponseProto()
        statuses = listing.statuses
        if request.needLocation:
            statuses = self._with_locations(listing, request.src, call)
        left = listing.remaining + len(listing.statuses) - len(statuses)
        return client_namenode.GetListingResponseProto(
            dirList=hdfs.DirectoryListingProto(partialListing=statuses, remainingEntries=left)
        )

    def _with_locations(
        self, listing: query.Listing, path: str, call: Call
    ) -> list[hdfs.HdfsFileStatusProto]:
        """As many as together have dfs.ls.limit locations: an answer must not grow without end."""
        namespace = self._desk.state.namespace
        budget = namespace.limits.list_limit
        for index, (status, row) in enumerate(zip(listing.statuses, listing.rows, strict=True)):
            if budget <= 0:
                return listing.statuses[:index]
            if status.fileType == hdfs.HdfsFileStatusProto.IS_FILE:
                file = query.located_row(namespace, row, past=listing.past)
                self._add_locations(status, file, path, call)
                budget -= len(status.locations.blocks) * status.block_replication
        return listing.statuses

    async def get_content_summary(
        self, request: client_namenode.GetContentSummaryRequestProto, call: Call
    ) -> client_namenode.GetContentSummaryResponseProto:
        desk = self._desk
        work = query.content_summary(desk.state.namespace, desk.who(call.caller), request.path)
        summary = await at_leisure(work, desk.state)
        return client_namenode.GetContentSummaryResponseProto(summary=summary)

    async def get_quota_usage(
        self, request: client_namenode.GetQuotaUsageRequestProto, call: Call
    ) -> client_namenode.GetQuotaUsageResponseProto:
        desk = self._desk
        work = query.quota_usage(desk.state.namespace, desk.who(call.caller), request.path)
        usage = await at_leisure(work, desk.state)
        return client_namenode.GetQuotaUsageResponseProto(usage=usage)

    def get_preferred_block_size(
        self, request: client_namenode.GetPreferredBlockSizeRequestProto, call: Call
    ) -> client_namenode.GetPreferredBlockSizeResponseProto:
        desk = self._desk
        size = query.preferred_block_size(
            desk.state.namespace, desk.who(call.caller), request.filename
        )
        return client_namenode.GetPreferredBlockSizeResponseProto(bsize=size)

    def is_file_closed(
        self, request: client_namenode.IsFileClosedRequestProto, call: Call
    ) -> client_namenode.IsFileClosedResponseProto:
        desk = self._desk
        closed = query.is_file_closed(desk.state.namespace, desk.who(call.caller), request.src)
        return client_namenode.IsFileClosedResponseProto(result=closed)

    def check_access(
        self, request: client_namenode.CheckAccessRequestProto, call: Call
    ) -> client_namenode.CheckAccessResponseProto:
        desk = self._desk
        query.check_access(
            desk.state.namespace,
            desk.who(call.caller),
            request.path,
            request.mode & FS_ACTION_BITS,
        )
        return client_namenode.CheckAccessResponseProto()

    def get_link_target(
        self, request: client_namenode.GetLinkTargetRequestProto, call: Call
    ) -> client_namenode.GetLinkTargetResponseProto:
        desk = self._desk
        target = query.link_target(desk.state.namespace, desk.who(call.caller), request.path)
        return client_namenode.GetLinkTargetResponseProto(targetPath=target)

    def get_enclosing_root(
        self, request: client_namenode.GetEnclosingRootRequestProto, call: Call
    ) -> client_namenode.GetEnclosingRootResponseProto:
        """Without encryption zones every path's enclosing root is the root."""
        desk = self._desk
        query.file_status(desk.state.namespace, desk.who(call.caller), request.filename)
        return client_namenode.GetEnclosingRootResponseProto(enclosingRootPath="/")

    def list_open_files(
        self, request: client_namenode.ListOpenFilesRequestProto, call: Call
    ) -> client_namenode.ListOpenFilesResponseProto:
        self._desk.require_superuser(call.caller, "listOpenFiles")
        namespace = self._desk.state.namespace
        response = client_namenode.ListOpenFilesResponseProto(hasMore=False)
        response.types.extend(request.types)
        if request.types and client_namenode.ALL_OPEN_FILES not in request.types:
            # Nobody is decommissioned, so no file can block it.
            return response
        prefix = (request.path or "/").rstrip("/") + "/"
        for inode_id, holder in namespace.leased_files(request.id):
            path = namespace.path_of(inode_id)
            if not f"{path}/".startswith(prefix):
                continue
            if len(response.entries) == OPEN_FILES_PER_BATCH:
                response.hasMore = True
                break
            writer = namespace.writer_of(inode_id)
            response.entries.add(
                id=inode_id,
                path=path,
                clientName=holder,
                clientMachine=writer[1] if writer else "",
            )
        return response

    # --- blocks ---

    def get_block_locations(
        self, request: client_namenode.GetBlockLocationsRequestProto, call: Call
    ) -> client_namenode.GetBlockLocationsResponseProto:
        desk = self._desk
        state = desk.state
        now_ms = desk.clock.wall_ms()
        for name, value in (("offset", request.offset), ("length", request.length)):
            if value > LONG_MAX:
                raise IllegalArgument(f"Negative {name} is not supported. File: {request.src}")
        found = query.located_file(state.namespace, desk.who(call.caller), request.src, now_ms)
        located = self._located(found, request.offset, request.length, call)
        if not _all_located(located):
            self._send_to_active(request.src)
            if state.blocks.safe_mode.active:
                raise desk.safe_mode_fault(
                    f"Zero blocklocations for {request.src}", ends_by_itself=True
                )
        if found.atime_due and state.is_active and not state.blocks.safe_mode.active:
            desk.commit(mutate.touch(state.namespace, now_ms, found.inode_id))
        return client_namenode.GetBlockLocationsResponseProto(locations=located)

    def _send_to_active(self, path: str) -> None:
        """An observer may not have heard yet of replicas that its caller has seen."""
        if self._desk.state.ha_state is HAState.OBSERVER:
            raise ObserverRetryOnActive(f"Zero blocklocations for {path}")

    def _add_locations(
        self, status: hdfs.HdfsFileStatusProto, file: query.LocatedFile, path: str, call: Call
    ) -> None:
        """`path`: what was asked for."""
        located = self._located(file, 0, LONG_MAX, call)
        if not _all_located(located):
            self._send_to_active(path)
        status.locations.CopyFrom(located)

    def _located(
        self, found: query.LocatedFile, offset: int, length: int, call: Call
    ) -> hdfs.LocatedBlocksProto:
        """The blocks asked for, and the last block as Hadoop gives it."""
        blocks, reader = self._desk.state.blocks, call.caller.address
        last_complete = bool(found.blocks) and (
            not found.under_construction or blocks.is_complete(found.blocks[-1].block_id)
        )
        answer = hdfs.LocatedBlocksProto(
            fileLength=found.length,
            underConstruction=found.under_construction,
            isLastBlockComplete=last_complete,
        )
        if not found.blocks:
            return answer
        last, shown = found.blocks[-1], None
        for shown, start in _overlapping(found.blocks, offset, length):
            into = answer.blocks.add()
            blocks.located_block(shown.block_id, start, reader=reader, into=into)
        if shown is last:
            answer.lastBlock.CopyFrom(answer.blocks[-1])
        else:
            start = sum(block.num_bytes for block in found.blocks[:-1])
            blocks.located_block(last.block_id, start, reader=reader, into=answer.lastBlock)
        return answer

    def get_fs_stats(
        self, request: client_namenode.GetFsStatusRequestProto, call: Call
    ) -> client_namenode.GetFsStatsResponseProto:
        return self._desk.state.blocks.fs_stats()

    def get_fs_replicated_block_stats(
        self, request: client_namenode.GetFsReplicatedBlockStatsRequestProto, call: Call
    ) -> client_namenode.GetFsReplicatedBlockStatsResponseProto:
        stats = self._desk.state.blocks.fs_stats()
        return client_namenode.GetFsReplicatedBlockStatsResponseProto(
            low_redundancy=stats.under_replicated,
            corrupt_blocks=stats.corrupt_blocks,
            missing_blocks=stats.missing_blocks,
            missing_repl_one_blocks=stats.missing_repl_one_blocks,
            blocks_in_future=stats.blocks_in_future,
            pending_deletion_blocks=stats.pending_deletion_blocks,
        )

    def get_fs_ec_block_group_stats(
        self, request: client_namenode.GetFsECBlockGroupStatsRequestProto, call: Call
    ) -> client_namenode.GetFsECBlockGroupStatsResponseProto:
        """There are no striped files, hence no groups."""
        return client_namenode.GetFsECBlockGroupStatsResponseProto(
            low_redundancy=0,
            corrupt_blocks=0,
            missing_blocks=0,
            blocks_in_future=0,
            pending_deletion_blocks=0,
        )

    def get_datanode_report(
        self, request: client_namenode.GetDatanodeReportRequestProto, call: Call
    ) -> client_namenode.GetDatanodeReportResponseProto:
        self._desk.require_superuser(call.caller, "datanodeReport")
        desk = self._desk
        report = desk.state.blocks.datanode_report(request.type, desk.clock.now_ms())
        return client_namenode.GetDatanodeReportResponseProto(di=report)

    def get_datanode_storage_report(
        self, request: client_namenode.GetDatanodeStorageReportRequestProto, call: Call
    ) -> client_namenode.GetDatanodeStorageReportResponseProto:
        self._desk.require_superuser(call.caller, "getDatanodeStorageReport")
        desk = self._desk
        report = desk.state.blocks.datanode_storage_report(request.type, desk.clock.now_ms())
        return client_namenode.GetDatanodeStorageReportResponseProto(datanodeStorageReports=report)

    # --- attributes ---

    def get_acl_status(
        self, request: acl.GetAclStatusRequestProto, call: Call
    ) -> acl.GetAclStatusResponseProto:
        desk = self._desk
        status = query.acl_status(desk.state.namespace, desk.who(call.caller), request.src)
        return acl.GetAclStatusResponseProto(result=status)

    def get_x_attrs(
        self, request: xattr.GetXAttrsRequestProto, call: Call
    ) -> xattr.GetXAttrsResponseProto:
        desk = self._desk
        found = query.get_xattrs(
            desk.state.namespace, desk.who(call.caller), request.src, list(request.xAttrs)
        )
        return xattr.GetXAttrsResponseProto(xAttrs=found)

    def list_x_attrs(
        self, request: xattr.ListXAttrsRequestProto, call: Call
    ) -> xattr.ListXAttrsResponseProto:
        desk = self._desk
        found = query.list_xattrs(desk.state.namespace, desk.who(call.caller), request.src)
        return xattr.ListXAttrsResponseProto(xAttrs=found)

    def get_storage_policy(
        self, request: client_namenode.GetStoragePolicyRequestProto, call: Call
    ) -> client_namenode.GetStoragePolicyResponseProto:
        desk = self._desk
        policy_id = query.storage_policy(desk.state.namespace, desk.who(call.caller), request.path)
        policy = POLICY_BY_ID[policy_id or HOT_ID]
        return client_namenode.GetStoragePolicyResponseProto(storagePolicy=_policy(policy))

    def get_storage_policies(
        self, request: client_namenode.GetStoragePoliciesRequestProto, call: Call
    ) -> client_namenode.GetStoragePoliciesResponseProto:
        return client_namenode.GetStoragePoliciesResponseProto(
            policies=[_policy(p) for p in reversed(POLICIES)]
        )

    @partial("files are never striped: an erasure coding policy is never reported")
    def get_erasure_coding_policy(
        self, request: erasure_coding.GetErasureCodingPolicyRequestProto, call: Call
    ) -> erasure_coding.GetErasureCodingPolicyResponseProto:
        desk = self._desk
        who = desk.who(call.caller)
        if query.file_status(desk.state.namespace, who, request.src) is None:
            raise FileNotFound(f"Path not found: {request.src}")
        return erasure_coding.GetErasureCodingPolicyResponseProto()

    @partial("there are no encryption zones")
    def get_ez_for_path(
        self, request: encryption_messages.GetEZForPathRequestProto, call: Call
    ) -> encryption_messages.GetEZForPathResponseProto:
        return encryption_messages.GetEZForPathResponseProto()

    @partial("block data is never encrypted: there is no key to give")
    def get_data_encryption_key(
        self, request: client_namenode.GetDataEncryptionKeyRequestProto, call: Call
    ) -> client_namenode.GetDataEncryptionKeyResponseProto:
        return client_namenode.GetDataEncryptionKeyResponseProto()

    @partial("only simple authentication: no token is ever issued")
    def get_delegation_token(
        self, request: security_messages.GetDelegationTokenRequestProto, call: Call
    ) -> security_messages.GetDelegationTokenResponseProto:
        return security_messages.GetDelegationTokenResponseProto()

    # --- the NameNode itself ---

    def get_server_defaults(
        self, request: client_namenode.GetServerDefaultsRequestProto, call: Call
    ) -> client_namenode.GetServerDefaultsResponseProto:
        defaults = self._defaults
        return client_namenode.GetServerDefaultsResponseProto(
            serverDefaults=hdfs.FsServerDefaultsProto(
                blockSize=defaults.block_size,
                bytesPerChecksum=defaults.bytes_per_checksum,
                writePacketSize=defaults.write_packet_size,
                replication=defaults.replication,
                fileBufferSize=defaults.file_buffer_size,
                encryptDataTransfer=defaults.encrypt_data_transfer,
                trashInterval=defaults.trash_interval_min,
                checksumType=CHECKSUM_TYPES[defaults.checksum_type],
                keyProviderUri="",
                policyId=0,
                snapshotTrashRootEnabled=False,
            )
        )

    def get_ha_service_state(
        self, request: client_namenode.HAServiceStateRequestProto, call: Call
    ) -> client_namenode.HAServiceStateResponseProto:
        state = HA_STATES[self._desk.state.ha_state]
        return client_namenode.HAServiceStateResponseProto(state=state)

    def msync(
        self, request: client_namenode.MsyncRequestProto, call: Call
    ) -> client_namenode.MsyncResponseProto:
        return client_namenode.MsyncResponseProto()

    def get_current_edit_log_txid(
        self, request: client_namenode.GetCurrentEditLogTxidRequestProto, call: Call
    ) -> client_namenode.GetCurrentEditLogTxidResponseProto:
        self._desk.require_superuser(call.caller, "getCurrentEditLogTxid")
        txid = self._desk.state.applied_txid
        return client_namenode.GetCurrentEditLogTxidResponseProto(txid=txid)


def _all_located(located: hdfs.LocatedBlocksProto) -> bool:
    return all(block.locs for block in located.blocks)


def _overlapping(blocks: Sequence[Block], offset: int, length: int) -> Iterator[tuple[Block, int]]:
    """Blocks of [offset, offset + length) and where each begins: at least the one that holds
    `offset`, none when the file ends before it (BlockManager.createLocatedBlockList)."""
    index = start = 0
    if blocks[0].num_bytes:
        while start + blocks[index].num_bytes <= offset:
            start += blocks[index].num_bytes
            index += 1
            if index == len(blocks):
                return
    while True:
        yield blocks[index], start
        start += blocks[index].num_bytes
        index += 1
        if index == len(blocks) or start >= offset + length:
            return


def _policy(policy: StoragePolicy) -> hdfs.BlockStoragePolicyProto:
    return hdfs.BlockStoragePolicyProto(
        policyId=policy.policy_id,
        name=policy.name,
        creationPolicy=_types(policy.storage_types),
        creationFallbackPolicy=_types(policy.creation_fallbacks),
        replicationFallbackPolicy=_types(policy.replication_fallbacks),
    )


def _types(ordinals: Iterable[int]) -> hdfs.StorageTypesProto:
    types = hdfs.StorageTypesProto()
    types.storageTypes.extend(PROTO_OF_STORAGE_TYPE[o] for o in ordinals)  # type: ignore[misc]
    return types
