"""Driver. What every client handler does around its own line of work: who asks, may it now, has it
been answered before. Holds P4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from hdfsd.base.errors import IOFault, RemoteFault, RetriableError, SafeModeFault
from hdfsd.base.ids import Block, BlockId, GenStamp
from hdfsd.editlog.ops import EditOp
from hdfsd.namenode.answers import Created
from hdfsd.namenode.gate import RULES, Category, refusal
from hdfsd.namenode.state import NameNodeState
from hdfsd.namespace import permission
from hdfsd.namespace.mutate import Request
from hdfsd.namespace.permission import Principal
from hdfsd.ports.clock import Clock
from hdfsd.rpc.connection import Caller
from hdfsd.rpc.server import Call
from hdfsd.wire.messages import Message, hdfs

R = TypeVar("R", bound=Message)


class Desk:
    """Shared by the client-facing services of one NameNode."""

    def __init__(
        self,
        *,
        state: NameNodeState,
        clock: Clock,
        principal_of: Callable[[str], Principal],
        hostname: str,
        ha: bool,
    ) -> None:
        """`principal_of`: from memory, for users that were introduced (namenode.principals)."""
        self.state = state
        self.clock = clock
        self._principal_of = principal_of
        self._hostname = hostname
        self._ha = ha

    # --- who ---

    def who(self, caller: Caller) -> Principal:
        """The caller with its groups and rights."""
        return self._principal_of(caller.user)

    def require_superuser(self, caller: Caller, operation: str) -> None:
        """Raises AccessControl; `operation` as Hadoop names it in the text."""
        permission.check_superuser(self.who(caller), operation)

    def request(self, call: Call) -> Request:
        """What `namespace.mutate` needs to know of a call."""
        clock = self.clock
        return Request(
            self.who(call.caller), clock.wall_ms(), call.client_id, call.call_id, clock.now_ms()
        )

    # --- may it now ---

    def refuse_in_safe_mode(self, what: str) -> None:
        """Raises what Hadoop raises for a mutation in safe mode (checkNameNodeSafeMode)."""
        safe_mode = self.state.blocks.safe_mode
        if safe_mode.active:
            raise self.safe_mode_fault(what, ends_by_itself=safe_mode.is_startup)

    def safe_mode_fault(self, what: str, *, ends_by_itself: bool) -> RemoteFault:
        """The error that says so; clients of an active in an HA nameservice wait for the end."""
        safe_mode = self.state.blocks.safe_mode
        text = (
            f"{what}. Name node is in safe mode.\n{safe_mode.message(self.clock.now_ms())}"
            f" NamenodeHostName:{self._hostname}"
        )
        if self._ha and self.state.is_active and ends_by_itself:
            return RetriableError(f"{SafeModeFault.java_class}: {text}")
        return SafeModeFault(text)

    def require_category(self, kind: Category) -> None:
        """For the calls whose category depends on what they ask (FSNamesystem.checkOperation)."""
        state = self.state.ha_state
        if kind not in RULES[state]:
            raise refusal(state, kind)

    # --- commit and answer ---

    def commit(self, ops: Sequence[EditOp]) -> None:
        """Applies and logs. Whatever is answered from now on is held until it is durable (P6)."""
        self.state.commit(ops, self.clock.now_ms())

    def remember(self, call: Call, answer: R) -> R:
        """Keeps the answer to an at-most-once call, for its retry (P4)."""
        self.state.remember(call.client_id, call.call_id, answer, self.clock.now_ms())
        return answer

    def earlier(self, call: Call, rebuild: Callable[[], R] | None = None) -> R | None:
        """The answer to this very call if it was executed before, here or on the former active.

        `rebuild` makes the answer of a call that we know from the journal only; None for calls
        whose edits say what it was. Raises IOFault when a call of another kind had these ids.
        """
        entry = self.state.retry.find(call.client_id, call.call_id, self.clock.now_ms())
        if entry is None:
            return None
        answer: Message | None
        if isinstance(entry.answer, Created):
            answer = entry.answer.answer()
        elif entry.answer is None and rebuild is not None:
            answer = rebuild()
        else:
            answer = entry.answer
        if not isinstance(answer, call.method.response):
            raise IOFault(
                f"{call.method.name} has the call id {call.call_id} of an earlier call of another"
                " kind: a client must give each call its own"
            )
        return cast(R, answer)

    # --- blocks on the wire ---

    def extended(self, block: Block) -> hdfs.ExtendedBlockProto:
        return hdfs.ExtendedBlockProto(
            poolId=self.state.info.block_pool_id,
            blockId=block.block_id & 0xFFFFFFFFFFFFFFFF,
            generationStamp=block.gen_stamp,
            numBytes=block.num_bytes,
        )


def block_of(extended: hdfs.ExtendedBlockProto) -> Block:
    """A block as a peer names it; striped ids come as unsigned views of negative numbers."""
    block_id = extended.blockId
    if block_id >= 1 << 63:
        block_id -= 1 << 64
    return Block(BlockId(block_id), extended.numBytes, GenStamp(extended.generationStamp))
