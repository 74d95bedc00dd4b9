"""Driver. Judges elections and checkpoints of a simulated cluster, while it rages.

- F1: a breadcrumb is written by the holder of the lock alone.
- F2: before it is written, whoever was active when the lock was taken is active no more. Judged
  where fencing can't fail (`shell(kill)`).
- F3: who gets an epoch while its controller holds the lock has its breadcrumb there, so that the
  next one knows whom to fence.
- F4: an image is written after as many transactions as were asked for, not again and again.

An operator who forces a NameNode to be active goes past F2 and F3: they are not judged where the
mix has one. Nor does F2 know a NameNode that got its epoch when its controller had no lock: an
order to become active may be carried out late, after the NameNode was asked to be standby on
another connection, as in Hadoop; no breadcrumb names it then, and its epoch goes to whoever comes
next.
"""

from __future__ import annotations

from hdfsd.failover.target import decode
from hdfsd.namenode.gate import HAState
from hdfsd.sim.cluster import Cluster
from hdfsd.sim.coordination import Claim

ROOM_BYTES = 1 << 21
"""A NameNode with less of it may fail to keep the image that it wrote."""


class Referee:
    """Hears of claims, epochs and images, and accuses before the cluster's judge."""

    def __init__(self, cluster: Cluster, *, forced: bool, fencing_kills: bool) -> None:
        """`forced`: operators make NameNodes active past their controllers."""
        self._cluster = cluster
        self._forced = forced
        self._fencing_kills = fencing_kills
        self._images: dict[tuple[str, int], int] = {}
        """(NameNode, its life) to how many images it has written."""
        self._rightful: dict[str, bool] = {}
        """NameNode to whether its controller had the lock when it got its last epoch."""
        cluster.locks.on_claim = self._claimed
        cluster.judge.on_leader = self._leads
        cluster.on_image = self._wrote_image

    def _claimed(self, claim: Claim) -> None:
        if not claim.holds_lock:
            self._accuse("F1", f"{claim.machine} writes its breadcrumb without the lock")
        if not self._fencing_kills or self._forced:
            return
        for name in self._cluster.actives():
            host = self._cluster.machines[name].host
            led_before = (
                self._cluster.judge.led_since_s.get(host.ip, 0.0) < self._cluster.locks.held_since_s
            )
            if name != claim.machine and led_before and self._rightful.get(name, True):
                self._accuse("F2", f"{claim.machine} takes over while {name} is active")

    def _leads(self, ip: str) -> None:
        cluster = self._cluster
        name = cluster.world.name_of(ip)
        state = cluster.state_of(name)
        if state is None or not state.in_transition:
            # Its request outlived it in a stopped JournalNode: nobody will write in this epoch.
            return
        self._rightful[name] = cluster.locks.holding_machine == name
        if self._forced or not self._rightful[name]:
            return
        crumb = cluster.locks.breadcrumb
        named = decode(crumb.data, "the breadcrumb").namenodeId if crumb else "nobody"
        if named != name:
            self._accuse("F3", f"{name} has a new epoch, and the breadcrumb names {named}")

    def _wrote_image(self, name: str) -> None:
        cluster = self._cluster
        state, server = cluster.state_of(name), cluster.namenodes[name]
        platter = cluster.machines[name].platter
        roomy = platter.capacity_bytes - platter.used_bytes > ROOM_BYTES
        if state is None or state.ha_state is HAState.ACTIVE or not roomy:
            return
        life = (name, id(server))
        self._images[life] = self._images.get(life, 0) + 1
        every = int(cluster.options["dfs.namenode.checkpoint.txns"])
        # A transition stops a checkpoint that is under way, and it is begun anew.
        begun_anew = 2 * len(server.lifecycle.timeline)
        applied = state.applied_txid - cluster.loaded_txid(name)
        if self._images[life] > 1 + begun_anew + applied // every:
            self._accuse("F4", f"{name} wrote {self._images[life]} images of {applied} edits")

    def _accuse(self, promise: str, what: str) -> None:
        self._cluster.judge.accuse(promise, what)
