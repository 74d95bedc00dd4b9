"""The tree of errors and its Java classes."""

from __future__ import annotations

import pytest

from hdfsd.base.errors import (
    CorruptData,
    DeadlineExceeded,
    HdfsdError,
    InvariantBroken,
    IOFault,
    LinkError,
    OutcomeUnknown,
    RemoteFault,
    StandbyError,
    cause_of,
    ensure,
)


def test_known_classes_come_back_as_their_own() -> None:
    fault = RemoteFault.of("org.apache.hadoop.ipc.StandbyException", "not here")
    assert type(fault) is StandbyError
    assert str(fault) == "org.apache.hadoop.ipc.StandbyException: not here"


def test_unknown_classes_keep_their_name() -> None:
    fault = RemoteFault.of("com.example.Odd", "why")
    assert (type(fault), fault.wire_class, fault.message) == (RemoteFault, "com.example.Odd", "why")


def test_every_class_is_registered_once() -> None:
    assert all(kind.java_class == name for name, kind in RemoteFault.registry.items())
    with pytest.raises(TypeError, match="registered twice"):
        type("Again", (RemoteFault,), {"java_class": IOFault.java_class})


def test_late_is_unknown_and_not_failed() -> None:
    assert issubclass(DeadlineExceeded, OutcomeUnknown)
    assert issubclass(OutcomeUnknown, LinkError)
    assert issubclass(InvariantBroken, HdfsdError)


def test_corrupt_data_says_where() -> None:
    assert str(CorruptData("/f", 12, "torn")) == "/f at offset 12: torn"
    assert str(CorruptData("/f", None, "torn")) == "/f: torn"


def test_ensure() -> None:
    ensure("P1", True, "never seen")
    with pytest.raises(InvariantBroken, match=r"^P1: one; 2$"):
        ensure("P1", False, "one", 2)


def test_the_one_error_to_tell_of_a_group() -> None:
    lost, broken, bug = HdfsdError("lost"), InvariantBroken("P4"), KeyError("x")
    assert cause_of(ExceptionGroup("g", [lost])) is lost
    assert cause_of(ExceptionGroup("g", [ExceptionGroup("h", [lost]), HdfsdError("later")])) is lost
    assert cause_of(ExceptionGroup("g", [lost, ExceptionGroup("h", [broken])])) is broken
    group = ExceptionGroup("g", [broken, ExceptionGroup("h", [bug])])
    assert cause_of(group) is group
