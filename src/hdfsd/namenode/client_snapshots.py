"""Driver. ClientProtocol: calls about snapshots."""

from __future__ import annotations

from hdfsd.namenode.answers import snapshot_created
from hdfsd.namenode.desk import Desk
from hdfsd.namespace import mutate_snapshots, query_snapshots, snapshot_diff
from hdfsd.namespace.snapshot_diff import Cursor
from hdfsd.rpc.server import Call
from hdfsd.wire.messages import client_namenode


class ClientSnapshots:
    """Handlers are named after the wire methods; requests and responses are those of the tables."""

    _desk: Desk

    def allow_snapshot(
        self, request: client_namenode.AllowSnapshotRequestProto, call: Call
    ) -> client_namenode.AllowSnapshotResponseProto:
        desk = self._desk
        desk.require_superuser(call.caller, "allowSnapshot")
        desk.refuse_in_safe_mode(f"Cannot allow snapshot for {request.snapshotRoot}")
        desk.commit(
            mutate_snapshots.allow(desk.state.namespace, desk.request(call), request.snapshotRoot)
        )
        return client_namenode.AllowSnapshotResponseProto()

    def disallow_snapshot(
        self, request: client_namenode.DisallowSnapshotRequestProto, call: Call
    ) -> client_namenode.DisallowSnapshotResponseProto:
        desk = self._desk
        desk.require_superuser(call.caller, "disallowSnapshot")
        desk.refuse_in_safe_mode(f"Cannot disallow snapshot for {request.snapshotRoot}")
        desk.commit(
            mutate_snapshots.disallow(
                desk.state.namespace, desk.request(call), request.snapshotRoot
            )
        )
        return client_namenode.DisallowSnapshotResponseProto()

    def create_snapshot(
        self, request: client_namenode.CreateSnapshotRequestProto, call: Call
    ) -> client_namenode.CreateSnapshotResponseProto:
        desk = self._desk
        earlier: client_namenode.CreateSnapshotResponseProto | None = desk.earlier(call)
        if earlier is not None:
            return earlier
        desk.refuse_in_safe_mode(f"Cannot create snapshot for {request.snapshotRoot}")
        ops = mutate_snapshots.create(
            desk.state.namespace, desk.request(call), request.snapshotRoot, request.snapshotName
        )
        desk.commit(ops)
        return desk.remember(call, snapshot_created(ops[-1]))

    def delete_snapshot(
        self, request: client_namenode.DeleteSnapshotRequestProto, call: Call
    ) -> client_namenode.DeleteSnapshotResponseProto:
        desk = self._desk
        answer = client_namenode.DeleteSnapshotResponseProto()
        if (earlier := desk.earlier(call, lambda: answer)) is not None:
            return earlier
        desk.refuse_in_safe_mode(f"Cannot delete snapshot for {request.snapshotRoot}")
        ops = mutate_snapshots.delete(
            desk.state.namespace, desk.request(call), request.snapshotRoot, request.snapshotName
        )
        desk.commit(ops)
        return desk.remember(call, answer)

    def rename_snapshot(
        self, request: client_namenode.RenameSnapshotRequestProto, call: Call
    ) -> client_namenode.RenameSnapshotResponseProto:
        desk = self._desk
        answer = client_namenode.RenameSnapshotResponseProto()
        if (earlier := desk.earlier(call, lambda: answer)) is not None:
            return earlier
        desk.refuse_in_safe_mode(f"Cannot rename snapshot for {request.snapshotRoot}")
        ops = mutate_snapshots.rename(
            desk.state.namespace,
            desk.request(call),
            request.snapshotRoot,
            request.snapshotOldName,
            request.snapshotNewName,
        )
        desk.commit(ops)
        return desk.remember(call, answer)

    def get_snapshottable_dir_listing(
        self, request: client_namenode.GetSnapshottableDirListingRequestProto, call: Call
    ) -> client_namenode.GetSnapshottableDirListingResponseProto:
        desk = self._desk
        found = query_snapshots.snapshottable_directories(
            desk.state.namespace, desk.who(call.caller)
        )
        return client_namenode.GetSnapshottableDirListingResponseProto(snapshottableDirList=found)

    def get_snapshot_listing(
        self, request: client_namenode.GetSnapshotListingRequestProto, call: Call
    ) -> client_namenode.GetSnapshotListingResponseProto:
        desk = self._desk
        found = query_snapshots.snapshots(
            desk.state.namespace, desk.who(call.caller), request.snapshotRoot
        )
        return client_namenode.GetSnapshotListingResponseProto(snapshotList=found)

    def get_snapshot_diff_report(
        self, request: client_namenode.GetSnapshotDiffReportRequestProto, call: Call
    ) -> client_namenode.GetSnapshotDiffReportResponseProto:
        desk = self._desk
        report = snapshot_diff.report(
            desk.state.namespace,
            desk.who(call.caller),
            request.snapshotRoot,
            request.fromSnapshot,
            request.toSnapshot,
        )
        return client_namenode.GetSnapshotDiffReportResponseProto(diffReport=report)

    def get_snapshot_diff_report_listing(
        self, request: client_namenode.GetSnapshotDiffReportListingRequestProto, call: Call
    ) -> client_namenode.GetSnapshotDiffReportListingResponseProto:
        desk = self._desk
        report = snapshot_diff.listing(
            desk.state.namespace,
            desk.who(call.caller),
            request.snapshotRoot,
            (request.fromSnapshot, request.toSnapshot),
            Cursor(request.cursor.startPath, request.cursor.index),
        )
        return client_namenode.GetSnapshotDiffReportListingResponseProto(diffReport=report)
