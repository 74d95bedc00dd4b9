"""Driver. How a daemon answers the one word that it knows (GenericRefreshProtocol; wire.words)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hdfsd.wire.messages import generic_refresh
from hdfsd.wire.words import NO_SUCH_WORD


async def answer_word(
    request: generic_refresh.GenericRefreshRequestProto,
    known: str,
    tell: Callable[[], Awaitable[str]],
) -> generic_refresh.GenericRefreshResponseCollectionProto:
    """What `tell` says to `known`; to any other word, that it is not known here."""
    if request.identifier == known:
        code, text = 0, await tell()
    else:
        code, text = NO_SUCH_WORD, f"the one word known here is {known}"
    answer = generic_refresh.GenericRefreshResponseProto(
        exitStatus=code, userMessage=text, senderName="hdfsd"
    )
    return generic_refresh.GenericRefreshResponseCollectionProto(responses=[answer])
