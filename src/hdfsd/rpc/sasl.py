"""Core. The server's side of SASL negotiation; today it offers SIMPLE alone (rpc-framing.md 4b).

NEGOTIATE is answered with the list of methods; the client chooses one with INITIATE, and SIMPLE
needs no more than that. Tokens and Kerberos are refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from hdfsd.base.errors import AccessControl, RemoteFault
from hdfsd.wire.messages import rpc_header

SaslMessage = rpc_header.RpcSaslProto

SIMPLE = "SIMPLE"
_OFFER = SaslMessage(
    state=SaslMessage.NEGOTIATE, auths=[SaslMessage.SaslAuth(method=SIMPLE, mechanism="")]
)


class SaslFailed(RemoteFault):
    java_class = "javax.security.sasl.SaslException"


@dataclass(frozen=True, slots=True)
class SaslStep:
    reply: SaslMessage | None
    """What to send back, if anything."""
    simple: bool
    """The negotiation is over: the connection context may come."""


class SaslNegotiation:
    """One negotiation. `step` raises AccessControl or SaslFailed, which end the connection."""

    __slots__ = ("_negotiated",)

    def __init__(self) -> None:
        self._negotiated = False

    def step(self, message: SaslMessage) -> SaslStep:
        """Takes one message of the client."""
        if message.state == SaslMessage.NEGOTIATE:
            return self._negotiate()
        if message.state == SaslMessage.INITIATE:
            return self._initiate(message)
        if message.state == SaslMessage.RESPONSE:
            raise SaslFailed("Client sent a token before it chose an authentication method")
        state = SaslMessage.SaslState.Name(message.state)
        raise SaslFailed(f"Client sent unsupported state {state}")

    def _negotiate(self) -> SaslStep:
        if self._negotiated:
            raise AccessControl("Client already attempted negotiation")
        self._negotiated = True
        return SaslStep(_OFFER, simple=False)

    def _initiate(self, message: SaslMessage) -> SaslStep:
        if len(message.auths) != 1:
            raise SaslFailed("Client mechanism is malformed")
        method = message.auths[0].method
        if method != SIMPLE:
            raise AccessControl(f"{method} authentication is not enabled.  Available:[{SIMPLE}]")
        return SaslStep(None, simple=True)
