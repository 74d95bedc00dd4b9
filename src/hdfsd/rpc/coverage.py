"""Data. Marks on handlers that are built in part; docs/COVERAGE.md is generated from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__hdfsd_missing__"


def partial(missing: str) -> Callable[[F], F]:
    """Says what a handler does not do yet: `@partial("storage policies are ignored")`."""

    def mark(handler: F) -> F:
        setattr(handler, _MARK, missing)
        return handler

    return mark


def missing_of(handler: Callable[..., Any]) -> str | None:
    """What is missing of a handler; None when it is whole."""
    missing: str | None = getattr(handler, _MARK, None)
    return missing
