"""Driver. The failover controller of one NameNode: health and election joined by the policy.

Source: Hadoop ZKFailoverController; wire fact: ha-zk.md section 4.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

from hdfsd.base.errors import (
    ConnectFailed,
    CorruptData,
    HdfsdError,
    LinkError,
    ServiceFailed,
    StorageError,
)
from hdfsd.base.nameservices import NameNodeAddresses
from hdfsd.base.settings import FailoverSettings
from hdfsd.failover.calls import Links, RequestSource, ServiceStatus, ZkfcService
from hdfsd.failover.candidate import Candidate, ElectionFailed
from hdfsd.failover.elector import State, Turn
from hdfsd.failover.fencing import FenceAttempt, Fencer, FencingPlan, Means
from hdfsd.failover.health import HealthState
from hdfsd.failover.latecomer import Latecomer, obstacle_of, status_of
from hdfsd.failover.monitor import HealthMonitor
from hdfsd.failover.policy import INELIGIBLE, Action, Decision, Policy, ServiceState
from hdfsd.failover.pulse import PulseWatch
from hdfsd.failover.target import decode, describe, encode, resolve
from hdfsd.failover.timeline import Failover, Moment, Timeline
from hdfsd.ports.clock import Clock
from hdfsd.ports.coordination import Coordination
from hdfsd.ports.heartbeat import Heartbeats
from hdfsd.ports.shell import Shell
from hdfsd.ports.ssh import Ssh
from hdfsd.wire.words import CATCH_UP, EXPLAIN

log = logging.getLogger(__name__)

ATTEMPT_WAIT_MS = 60_000
"""doGracefulFailover: how long beyond the time of ceding an attempt may take."""
PEER_MS = 1000
"""What another controller may take to say how its NameNode is."""
TO_BE_ACTIVE = (State.PROMOTING, State.PROMOTING_BLIND)
LOOK_S = 2.0
"""How long an explanation waits for the lock service."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The last time that this controller tried to make its NameNode active."""

    number: int
    succeeded: bool
    status: str


class FailoverController:
    """Watches one NameNode, and makes it active or standby as the election goes."""

    def __init__(
        self,
        settings: FailoverSettings,
        coordination: Coordination,
        links: Links,
        shell: Shell,
        clock: Clock,
        *,
        hostname: str,
        ssh: Ssh | None = None,
        transitions: Callable[[], Awaitable[Sequence[str]]] | None = None,
        heartbeats: Heartbeats | None = None,
    ) -> None:
        """`hostname`: of the local NameNode, as target.encode wants it. `transitions`: what the
        NameNode says of its last ones, for the record. `heartbeats`: None where there are none.
        Raises ConfigError."""
        self._transitions = transitions
        self._tasks: asyncio.TaskGroup | None = None
        self._settings = settings
        self._links = links
        self._clock = clock
        self._local = settings.namenode
        self._name = describe(self._local)
        self._data = encode(self._local, hostname)
        self._policy = Policy(eligible=settings.election_eligible)
        self._timeline = Timeline()
        self._candidate = Candidate(
            coordination, self, self._turned, yield_ms=settings.election_yield_ms
        )
        self._fencer = Fencer(
            FencingPlan.of(settings),
            Means(links, shell, clock, ssh),
            RequestSource.CONTROLLER,
            record=self._fencing_tried,
        )
        self._election_since = self._health_since = self._moment()
        self._election_reason = self._health_reason = "the controller has just started"
        if not self._policy.eligible:
            self._election_reason = f"{INELIGIBLE}: it is never elected"
        self._service = links.ha_service(self._local.for_servers)
        self._transition_lock = asyncio.Lock()
        self._monitor = HealthMonitor(
            lambda: links.ha_service(self._local.lifeline_rpc or self._local.for_servers),
            settings.health,
            on_health=self._health_changed,
            on_status=self._status_reported,
            pulse=self._pulse_of(heartbeats),
        )
        self._recheck_timer: asyncio.TimerHandle | None = None
        self._status = ServiceStatus(ServiceState.INITIALIZING, False, "it has not answered yet")
        self._latecomer = Latecomer(links, clock, self._local, settings.peers)
        self._waiting: asyncio.Task[None] | None = None
        self._waits = ""
        """Why it does not join the election yet, though it should; "" when it does not wait."""
        self._attempt = Attempt(0, False, "")
        self._news = asyncio.Event()
        """Set, and replaced, when there is another attempt, health or state of the election."""

    async def run(self) -> None:
        """Runs until cancelled. Raises ElectionFailed when it can't go on."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._candidate.run())
                tasks.create_task(self._monitor.run())
        except ExceptionGroup as failures:
            # Not `except*`: before Python 3.11.4 what is raised there comes out in a group again.
            refused, others = failures.split(ElectionFailed)
            if refused is None or others is not None:
                raise
            raise refused.exceptions[0] from None
        finally:
            if self._recheck_timer is not None:
                self._recheck_timer.cancel()
            await self._service.close()

    def _pulse_of(self, heartbeats: Heartbeats | None) -> PulseWatch | None:
        limit_ms = self._settings.health.heartbeat_ms
        if heartbeats is None or limit_ms <= 0:
            return None
        return PulseWatch(heartbeats, self._local.for_servers, self._clock, limit_ms=limit_ms)

    @property
    def election(self) -> State:
        return self._candidate.state

    @property
    def health(self) -> HealthState:
        return self._policy.health

    # What the health monitor says.

    def _health_changed(self, health: HealthState, reason: str) -> None:
        log.info("%s entered health %s: %s", self._name, health.value, reason)
        self._health_since, self._health_reason = self._moment(), reason
        self._note(f"{self._name} entered health {health.value}: {reason}")
        self._obey(self._policy.health_changed(health, self._clock.now_ms()))
        self._tell_news()

    def _status_reported(self, status: ServiceStatus) -> None:
        self._status = status
        if self._transition_lock.locked():
            return  # On its way from one state to the other, by our own order.
        self._obey(self._policy.state_reported(status.state, self._clock.now_ms()))

    def _obey(self, decision: Decision) -> None:
        action = decision.action
        if action is Action.NOTHING:
            return
        log.info("%s: %s, because %s", self._name, action.value, decision.reason)
        self._note(f"{action.value}, because {decision.reason}")
        if self._recheck_timer is not None:
            self._recheck_timer.cancel()
        if action is Action.JOIN:
            self._join()
            return
        self._stop_waiting()
        if action is Action.WAIT:
            self._recheck_after(decision.wait_ms)
        else:
            self._candidate.quit(need_fence=action is Action.QUIT_FENCED)

    def _join(self) -> None:
        """At once, or when the NameNode is ready and another one is there to be active."""
        if self._status.ready or self.election is not State.OUT:
            self._stop_waiting()
            self._candidate.join(self._data)
        elif self._waiting is None:
            assert self._tasks is not None, "the controller does not run"
            self._waiting = self._tasks.create_task(self._join_when_ready())

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting, self._waits = None, ""

    async def _join_when_ready(self) -> None:
        reason = await self._latecomer.wait(self._must_wait)
        log.info("%s joins the election: %s", self._name, reason)
        self._note(f"joins the election: {reason}")
        self._waiting, self._waits = None, ""
        self._candidate.join(self._data)

    def _must_wait(self, reason: str) -> None:
        if not self._waits:
            log.info("%s does not join the election yet: %s", self._name, reason)
            self._note(f"does not join the election yet: {reason}")
        self._waits = reason

    def _recheck_after(self, wait_ms: int) -> None:
        loop = asyncio.get_running_loop()
        self._recheck_timer = loop.call_later(wait_ms / 1000, self._recheck)

    def _recheck(self) -> None:
        self._recheck_timer = None
        self._obey(self._policy.recheck(self._clock.now_ms()))

    # What is told to people.

    def _moment(self) -> Moment:
        return Moment(self._clock.now_ms(), self._clock.wall_ms())

    def _note(self, text: str) -> None:
        self._timeline.note(text, self._moment())

    def _turned(self, turn: Turn) -> None:
        now = self._moment()
        if turn.before is not turn.after:
            self._election_since, self._election_reason = now, turn.reason
            self._tell_news()
        ended = self._timeline.turned(turn, now)
        if ended is not None:
            log.info("failover: %s %s", self._name, ended.describe())
            if ended.succeeded and self._transitions is not None and self._tasks is not None:
                self._tasks.create_task(self._complete(ended, self._transitions))

    async def _complete(
        self, failover: Failover, transitions: Callable[[], Awaitable[Sequence[str]]]
    ) -> None:
        """Adds what the NameNode recorded of it; nothing waits for that."""
        try:
            found = await transitions()
        except HdfsdError as error:
            log.info("no record of the NameNode's own: %s", error)
            return
        if found:
            failover.namenode = found[-1]
            log.info("failover: %s: %s", self._name, failover.namenode)

    def _fencing_tried(self, attempt: FenceAttempt) -> None:
        outcome = "done" if attempt.succeeded else "it did not work"
        said = f"{outcome}: {attempt.said}" if attempt.said else outcome
        self._timeline.step(f"fencing of {attempt.node}: {attempt.how}", self._moment(), said)

    async def explain(self) -> dict[str, Any]:
        """What this controller knows, does and did (JSON)."""
        return {
            "namenode": {
                "nameservice": self._local.nameservice,
                "id": self._local.node_id,
                "address": str(self._local.for_servers),
            },
            "election": {
                "state": self.election.name,
                "means": self.election.value,
                "since_wall_ms": self._election_since.wall_ms,
                "reason": self._election_reason,
            },
            "health": {
                "state": self.health.value,
                "since_wall_ms": self._health_since.wall_ms,
                "reason": self._health_reason,
                "is_mute": self._monitor.is_mute,
            },
            "expected_state": self._policy.expected.name,
            "hold_ms": self._policy.hold_ms(self._clock.now_ms()),
            "waits": self._waits,
            "eligible": self._policy.eligible,
            "lock": await self._lock_as_seen(),
            "fencing_methods": [str(method) for method in self._fencer.methods],
            **self._timeline.as_json(),
        }

    async def _lock_as_seen(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(LOOK_S):
                holder = await self._candidate.lock_holder()
            if holder is None:
                return {"holder": None, "mine": False}
            known = (self._local, *self._settings.peers)
            return {
                "holder": resolve(holder.data, known, "the lock").node_id,
                "mine": holder.mine,
            }
        except TimeoutError:
            return {"error": f"the lock service did not answer in {LOOK_S:g} s"}
        except HdfsdError as error:
            return {"error": str(error)}

    # What the election asks for (candidate.Acts).

    def is_namesake(self, data: bytes) -> bool:
        """By its id: controllers of one NameNode may have different ports of their own."""
        try:
            info = decode(data, "the lock")
        except CorruptData:
            return False
        own = (self._local.nameservice, self._local.node_id)
        return (info.nameserviceId, info.namenodeId) == own

    async def fence(self, data: bytes) -> str:
        """Fences the node that a breadcrumb names (ZKFailoverController.fenceOldActive)."""
        try:
            target = self._named_by(data)
            if target == self._local:
                return "it is this very NameNode, whose controller had another address then"
            log.info("%s was active before: fencing it", describe(target))
            self._timeline.name_cause(f"{describe(target)} was active before")
            return await self._fencer.fence(target, self._known_not_to_answer(target))
        except HdfsdError as error:
            self._record_attempt(False, f"Unable to fence old active: {error}")
            raise

    async def _known_not_to_answer(self, target: NameNodeAddresses) -> str | None:
        """Why it is no use to wait for its answer, if its own controller knows that. Controllers
        of Hadoop's say nothing."""
        words = self._links.words(target.zkfc)
        try:
            health = json.loads(await words.ask(EXPLAIN, deadline_ms=PEER_MS))["health"]
            if health["is_mute"]:
                return f"its controller says: {health['reason']}"
        except (HdfsdError, ValueError, KeyError, TypeError) as error:
            log.info("the controller of %s tells nothing: %s", describe(target), error)
        finally:
            await words.close()
        return None

    def _named_by(self, data: bytes) -> NameNodeAddresses:
        """Raises HdfsdError when a breadcrumb names nobody: then nobody can be fenced."""
        known = (self._local, *self._settings.peers)
        try:
            return resolve(data, known, "the breadcrumb of the last active node")
        except CorruptData as error:
            raise StorageError(
                f"{error}: nobody can say whom to fence. When no NameNode is active, stop all"
                " controllers and run zkfc -formatZK"
            ) from error

    async def promote(self) -> None:
        log.info("trying to make %s active", self._name)
        started_ms = self._clock.now_ms()
        limit_ms = self._settings.new_active_timeout_ms
        try:
            obeyed = await self._transition(ServiceState.ACTIVE, limit_ms, TO_BE_ACTIVE)
        except HdfsdError as error:
            self._record_attempt(False, f"Couldn't make {self._name} active: {error}")
            raise
        if not obeyed:
            raise ServiceFailed(f"the election went on before {self._name} could be asked")
        if self.election in TO_BE_ACTIVE:
            self._policy.became(ServiceState.ACTIVE)
        took_ms = self._clock.now_ms() - started_ms
        status = f"Successfully transitioned {self._name} to active state"
        log.info("%s in %d ms", status, took_ms)
        self._record_attempt(True, status)

    async def demote(self) -> None:
        log.info("the election wants %s to be standby", self._name)
        try:
            await self._transition(ServiceState.STANDBY, self._settings.graceful_fence_timeout_ms)
        except HdfsdError as error:
            # Likely fenced at this moment; its health decides what happens next.
            log.error("couldn't make %s standby: %s", self._name, error)
        if self.election in (State.STANDBY, State.CONTENDING, State.LOOKING):
            self._policy.became(ServiceState.STANDBY)

    async def _transition(
        self, state: ServiceState, deadline_ms: int, wanted_in: Container[State] | None = None
    ) -> bool:
        """`wanted_in`: states of the election in which this is still wanted when the NameNode has
        done what it was told before; False: it is not."""
        # One order at a time: the NameNode must hear the last one last.
        async with self._transition_lock:
            if wanted_in is not None and self.election not in wanted_in:
                # F3: by now another may have fenced it, and nobody would again.
                log.info("the election does not want %s to be %s now", self._name, state.name)
                return False
            await self._service.transition(state, RequestSource.CONTROLLER, deadline_ms=deadline_ms)
            return True

    def _record_attempt(self, succeeded: bool, status: str) -> None:
        self._attempt = Attempt(self._attempt.number + 1, succeeded, status)
        self._tell_news()

    def _tell_news(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    # What other controllers and operators ask for (service.ZkfcProtocolService).

    async def cede_active(self, millis: int, asked_by: str) -> None:
        """Makes the NameNode standby and stays out of the election for this long; with 0 or less,
        takes part again at once."""
        if millis <= 0:
            self._obey(self._policy.hold_ended(self._clock.now_ms()))
            return
        log.info("%s asks %s to cede for %d ms", asked_by, self._name, millis)
        self._note(f"{asked_by} asks to cede for {millis} ms")
        need_fence = False
        try:
            await self._transition(ServiceState.STANDBY, self._settings.graceful_fence_timeout_ms)
        except HdfsdError as error:
            log.warning("couldn't make %s standby, so it is to be fenced: %s", self._name, error)
            need_fence = True
        self._policy.ceded(millis, self._clock.now_ms())
        self._candidate.quit(need_fence=need_fence)
        await self._candidate.left()
        self._obey(self._policy.recheck(self._clock.now_ms()))

    async def graceful_failover(self, asked_by: str = "somebody") -> None:
        """Makes the local NameNode active, the others ceding. Raises ServiceFailed."""
        self._require_eligible()
        if self._status.state is not ServiceState.ACTIVE:
            await self._make_ready()
        active = await self._active_to_replace()
        if active is None:
            log.info("%s is active already: no failover is needed", self._name)
            return
        timeout_ms = 2 * self._settings.graceful_fence_timeout_ms
        before = self._attempt.number
        others = [peer for peer in self._settings.peers if peer != active]
        ceded: list[ZkfcService] = []
        self._timeline.wish = f"{asked_by} asked for a failover from {describe(active)}"
        # The others let it go first now, and only for as long as they cede.
        self._candidate.let_others_first(False)
        try:
            for peer in (*others, active):
                await self._ask_to_cede(peer, timeout_ms, ceded, must=peer == active)
            attempt = await self._attempt_after(before, timeout_ms + ATTEMPT_WAIT_MS)
        finally:
            self._timeline.wish = ""
            self._candidate.let_others_first(True)
            await self._let_rejoin(ceded, timeout_ms)
        if not attempt.succeeded:
            raise ServiceFailed(f"Failed to become active. {attempt.status}")
        log.info("%s took over from %s", self._name, describe(active))

    def _require_eligible(self) -> None:
        """ZKFailoverController.checkEligibleForFailover. Raises ServiceFailed."""
        if self.health is not HealthState.SERVICE_HEALTHY:
            raise ServiceFailed(f"{self._name} is not currently healthy. Cannot be failover target")
        if self._policy.expected is ServiceState.OBSERVER:
            raise ServiceFailed(f"{self._name} is in observer state. Cannot be failover target")
        if not self._policy.eligible:
            raise ServiceFailed(f"{self._name} is never elected ({INELIGIBLE})")

    async def _active_to_replace(self) -> NameNodeAddresses | None:
        """Who is active, None if we are. Raises ServiceFailed when nobody can say."""
        try:
            holder = await self._candidate.lock_holder()
        except LinkError as error:
            raise ServiceFailed(f"Nobody knows who is active: {error}") from error
        if holder is None:
            raise ServiceFailed("No other node is currently active.")
        known = (self._local, *self._settings.peers)
        try:
            active = resolve(holder.data, known, "the lock")
        except HdfsdError as error:
            raise ServiceFailed(str(error)) from error
        return None if active == self._local else active

    async def _make_ready(self) -> None:
        """What the local NameNode has to replay it replays while the other one still serves.

        Raises ServiceFailed when it is not ready then: nothing has been changed.
        """
        patience_ms = self._settings.new_active_timeout_ms // 2
        words = self._links.words(self._local.for_servers)
        try:
            txid = await words.ask(CATCH_UP, deadline_ms=patience_ms)
            log.info("%s has applied transaction %s", self._name, txid)
        except HdfsdError as error:
            # One of Hadoop's can't be asked, and is believed when it says that it is ready.
            log.info("%s was not made to catch up: %s", self._name, error)
        finally:
            await words.close()
        obstacle = obstacle_of(await status_of(self._links, self._local))
        if obstacle:
            raise ServiceFailed(f"{self._name} is not ready to become active: {obstacle}")
        if self._waiting is not None:
            await self._join_now()

    async def _join_now(self) -> None:
        """Does not wait for the next look at what has just become true."""
        self._stop_waiting()
        self._candidate.join(self._data)
        try:
            async with asyncio.timeout(LOOK_S):
                while self.election in (State.OUT, State.OPENING):
                    await self._news.wait()
        except TimeoutError:
            log.warning("%s has no session of the election after %g s", self._name, LOOK_S)

    async def _ask_to_cede(
        self, peer: NameNodeAddresses, timeout_ms: int, ceded: list[ZkfcService], *, must: bool
    ) -> None:
        log.info("asking the controller of %s to cede for %d ms", describe(peer), timeout_ms)
        service = self._links.zkfc(peer.zkfc)
        ceded.append(service)
        try:
            await service.cede_active(timeout_ms, deadline_ms=timeout_ms)
        except ConnectFailed as error:
            if must:
                raise ServiceFailed(
                    f"The controller of {describe(peer)}, which is active, can't be asked: {error}"
                ) from error
            log.warning("no controller of %s to compete with: %s", describe(peer), error)

    async def _let_rejoin(self, ceded: list[ZkfcService], timeout_ms: int) -> None:
        for service in ceded:
            try:
                await service.cede_active(-1, deadline_ms=timeout_ms)
            except HdfsdError as error:
                log.warning("a controller rejoins only when its time is over: %s", error)
            finally:
                await service.close()

    async def _attempt_after(self, number: int, wait_ms: int) -> Attempt:
        """The first attempt after that with a number. Raises ServiceFailed when there is none."""
        try:
            async with asyncio.timeout(wait_ms / 1000):
                while self._attempt.number <= number:
                    if self.health is not HealthState.SERVICE_HEALTHY:
                        raise ServiceFailed(
                            "Unable to become active. Service became unhealthy while trying to"
                            " failover."
                        )
                    await self._news.wait()
        except TimeoutError:
            raise ServiceFailed(
                "Unable to become active. Local node did not get an opportunity to do so from"
                " ZooKeeper, or the local node took too long to transition to active."
            ) from None
        return self._attempt
