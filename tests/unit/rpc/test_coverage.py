"""Marks on partly built handlers."""

from __future__ import annotations

from hdfsd.rpc.coverage import missing_of, partial


class Service:
    @partial("storage policies are ignored")
    def create(self) -> str:
        return "made"

    def mkdirs(self) -> None: ...


def test_the_mark_stays_on_the_bound_method_and_changes_nothing() -> None:
    service = Service()
    assert service.create() == "made"
    assert missing_of(service.create) == "storage policies are ignored"
    assert missing_of(service.mkdirs) is None
