"""SASL with SIMPLE alone, step by step."""

from __future__ import annotations

import pytest

from hdfsd.base.errors import AccessControl, RemoteFault
from hdfsd.rpc.sasl import SaslFailed, SaslMessage, SaslNegotiation


def message(state: int, *methods: str) -> SaslMessage:
    made = SaslMessage(state=state)  # type: ignore[arg-type]
    for method in methods:
        made.auths.add(method=method, mechanism="")
    return made


def test_negotiate_offers_simple_and_initiate_takes_it() -> None:
    negotiation = SaslNegotiation()
    offer = negotiation.step(message(SaslMessage.NEGOTIATE))
    assert offer.reply is not None
    assert offer.reply.SerializeToString() == b"\x10\x01\x22\x0a\x0a\x06SIMPLE\x12\x00"
    assert not offer.simple
    chosen = negotiation.step(message(SaslMessage.INITIATE, "SIMPLE"))
    assert (chosen.reply, chosen.simple) == (None, True)


@pytest.mark.parametrize(
    ("steps", "kind", "text"),
    [
        ([(1,), (1,)], AccessControl, "Client already attempted negotiation"),
        ([(2,)], SaslFailed, "Client mechanism is malformed"),
        ([(2, "SIMPLE", "TOKEN")], SaslFailed, "Client mechanism is malformed"),
        ([(1,), (2, "TOKEN")], AccessControl, "TOKEN authentication is not enabled."),
        ([(2, "KERBEROS")], AccessControl, "Available:[SIMPLE]"),
        ([(4,)], SaslFailed, "before it chose an authentication method"),
        ([(3,)], SaslFailed, "Client sent unsupported state CHALLENGE"),
        ([(0,)], SaslFailed, "Client sent unsupported state SUCCESS"),
    ],
)
def test_refusals(steps: list[tuple[int, str]], kind: type[RemoteFault], text: str) -> None:
    negotiation = SaslNegotiation()
    for state, *methods in steps[:-1]:
        negotiation.step(message(state, *methods))
    state, *methods = steps[-1]
    with pytest.raises(kind) as caught:
        negotiation.step(message(state, *methods))
    assert text in caught.value.message
