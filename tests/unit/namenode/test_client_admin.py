"""Calls of administrators: for superusers only; safe mode by hand."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from small_namenode import Desktop

from hdfsd.base.errors import AccessControl, IOFault, StandbyError
from hdfsd.namenode.gate import HAState
from hdfsd.wire.messages import client_namenode

c = client_namenode
GET, ENTER, LEAVE, FORCE = (
    c.SAFEMODE_GET,
    c.SAFEMODE_ENTER,
    c.SAFEMODE_LEAVE,
    c.SAFEMODE_FORCE_EXIT,
)


def safe_mode(desktop: Desktop, action: int, user: str = "hdfs", *, checked: bool = False) -> bool:
    request = c.SetSafeModeRequestProto(action=action, checked=checked)
    return bool(desktop.ask("set_safe_mode", request, user=user).result)


@pytest.mark.parametrize("way_out", [LEAVE, FORCE])
def test_into_safe_mode_and_out_again(way_out: int) -> None:
    desktop = Desktop()
    assert not safe_mode(desktop, GET)
    assert safe_mode(desktop, ENTER)
    assert safe_mode(desktop, GET)
    assert not safe_mode(desktop, way_out)
    assert not safe_mode(desktop, GET)


def test_leaving_leaves_the_look_at_every_block_to_the_next_tick() -> None:
    """P7: of a million it takes seconds."""
    desktop, looked = Desktop(), []
    blocks = desktop.state.blocks
    blocks.redundancy.populating = False

    def scan_all() -> Iterator[None]:
        looked.append("every block")
        yield

    blocks.redundancy.scan_all = scan_all  # type: ignore[method-assign]
    assert safe_mode(desktop, ENTER)
    assert not safe_mode(desktop, LEAVE)
    assert looked == []
    for _ in blocks.tick(1_000):
        pass
    assert looked == ["every block"]


def test_anybody_may_ask_but_only_superusers_may_change() -> None:
    desktop = Desktop()
    assert not safe_mode(desktop, GET, "eve")
    for action, operation in (
        (ENTER, "safemode_enter"),
        (LEAVE, "safemode_leave"),
        (FORCE, "safemode_force_exit"),
    ):
        with pytest.raises(AccessControl, match=f"for operation {operation}$"):
            safe_mode(desktop, action, "eve")
        assert not safe_mode(desktop, GET)


@pytest.mark.parametrize("action", [GET, ENTER, LEAVE])
def test_a_standby_is_asked_by_its_address_but_not_for_its_nameservice(action: int) -> None:
    """`checked` is what a client of the nameservice sends: it wants the active's word."""
    desktop = Desktop(active=False)
    desktop.state.ha_state = HAState.STANDBY
    assert safe_mode(desktop, action) is (action == ENTER)
    before = desktop.state.blocks.safe_mode.active
    with pytest.raises(StandbyError, match="is not supported in state standby"):
        safe_mode(desktop, action, checked=True)
    assert desktop.state.blocks.safe_mode.active is before
    desktop.activate()
    safe_mode(desktop, action, checked=True)


CALLS: list[tuple[str, Any, str]] = [
    ("save_namespace", c.SaveNamespaceRequestProto(), "saveNamespace"),
    ("roll_edits", c.RollEditsRequestProto(), "rollEditLog"),
    ("refresh_nodes", c.RefreshNodesRequestProto(), "refreshNodes"),
    ("finalize_upgrade", c.FinalizeUpgradeRequestProto(), "finalizeUpgrade"),
    ("rolling_upgrade", c.RollingUpgradeRequestProto(action=c.QUERY), "queryRollingUpgrade"),
    (
        "restore_failed_storage",
        c.RestoreFailedStorageRequestProto(arg="check"),
        "checkRestoreFailedStorage",
    ),
]


def answer_of(desktop: Desktop, name: str, request: Any, user: str = "hdfs") -> Any:
    async def ask() -> Any:
        answer = desktop.ask(name, request, user=user)
        return await answer if inspect.isawaitable(answer) else answer

    return asyncio.run(ask())


@pytest.mark.parametrize(("name", "request_", "operation"), CALLS)
def test_superusers_only(name: str, request_: Any, operation: str) -> None:
    desktop = Desktop()
    with pytest.raises(AccessControl, match=operation):
        answer_of(desktop, name, request_, "eve")
    assert desktop.keeper.calls == []
    assert answer_of(desktop, name, request_).IsInitialized()


def test_rolling_and_saving_are_the_keepers_work() -> None:
    desktop = Desktop()
    rolled = answer_of(desktop, "roll_edits", c.RollEditsRequestProto())
    assert rolled.newSegmentTxId == 42
    assert answer_of(desktop, "save_namespace", c.SaveNamespaceRequestProto()).saved
    assert desktop.keeper.calls == ["roll", "save"]


@pytest.mark.parametrize(
    ("window", "gap", "recent", "calls"),
    [
        (0, 0, True, ["save"]),
        (60, 0, True, ["recent 60 0"]),
        (0, 9, True, ["recent 0 9"]),
        (60, 9, False, ["recent 60 9", "save"]),
    ],
)
def test_a_recent_image_is_enough_when_so_asked(
    window: int, gap: int, recent: bool, calls: list[str]
) -> None:
    desktop = Desktop()
    desktop.keeper.recent = recent
    request = c.SaveNamespaceRequestProto(timeWindow=window, txGap=gap)
    assert answer_of(desktop, "save_namespace", request).saved is ("save" in calls)
    assert desktop.keeper.calls == calls


def test_what_is_not_built_says_so() -> None:
    desktop = Desktop()
    for action in (c.START, c.FINALIZE):
        with pytest.raises(IOFault, match="not built"):
            desktop.ask("rolling_upgrade", c.RollingUpgradeRequestProto(action=action))
    with pytest.raises(IOFault, match="restart"):
        desktop.ask("restore_failed_storage", c.RestoreFailedStorageRequestProto(arg="true"))
    for arg in ("check", "false"):
        answer = desktop.ask("restore_failed_storage", c.RestoreFailedStorageRequestProto(arg=arg))
        assert not answer.result


def test_no_upgrade_is_ever_going_on() -> None:
    assert Desktop().ask("upgrade_status", c.UpgradeStatusRequestProto()).upgradeFinalized
