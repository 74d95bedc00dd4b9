"""Adapter. Uploads of images by hand, to see every byte of what a NameNode answers."""

from __future__ import annotations

import hashlib
import html
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from urllib.parse import urlencode

HOST = "127.0.0.1"
CONTINUE = b"HTTP/1.1 100 "
PIECE_BYTES = 1 << 16
MESSAGE = re.compile(r"<th>MESSAGE:</th><td>(.*?)</td>", re.S)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str
    """What it says of the cause, wherever it stands."""
    asked_for_body: bool
    """It said `100 Continue` first."""
    offset: int = 0
    """How much it has kept of an upload that broke off (ours only)."""


class Upload:
    """One PUT of an image, its body (what follows `offset`) in the caller's hands."""

    def __init__(
        self,
        port: int,
        query: Mapping[str, str],
        body: bytes,
        headers: Mapping[str, str],
        offset: int = 0,
    ) -> None:
        self._socket = socket.create_connection((HOST, port), 60)
        lines = [
            f"PUT /imagetransfer?{urlencode(query)} HTTP/1.1",
            f"Host: {HOST}:{port}",
            "Content-Type: application/octet-stream",
            f"Content-Length: {len(body) - offset}",
            f"X-MD5-Digest: {hashlib.md5(body).hexdigest()}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")

    def was_asked_for_body(self) -> bool:
        """With `Expect: 100-continue`: whether it goes on, taken from the connection."""
        start = self._socket.recv(len(CONTINUE), socket.MSG_PEEK | socket.MSG_WAITALL)
        if start != CONTINUE:
            return False
        while self._socket.recv(1, socket.MSG_WAITALL) != b"\n":
            pass
        assert self._socket.recv(2, socket.MSG_WAITALL) == b"\r\n"
        return True

    def send(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE_BYTES):
            self._socket.sendall(data[start : start + PIECE_BYTES])

    def answer(self, *, asked_for_body: bool) -> Answer:
        response = HTTPResponse(self._socket)
        response.begin()
        text = response.read().decode("utf-8", "replace")
        self._socket.close()
        found = MESSAGE.search(text)
        said = html.unescape(found[1]) if found else text or response.reason
        offset = int(response.headers.get("X-Hdfsd-Offset", "0"))
        return Answer(response.status, " ".join(said.split()), asked_for_body, offset)

    def close(self) -> None:
        self._socket.close()


def put(
    port: int,
    query: Mapping[str, str],
    body: bytes,
    *,
    ask: bool = True,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """A whole upload; with `ask` it sends the body only when it is told to."""
    more = {"Expect": "100-continue"} if ask else {}
    upload = Upload(port, query, body, {**more, **(headers or {})})
    asked = upload.was_asked_for_body() if ask else False
    if asked or not ask:
        upload.send(body)
    return upload.answer(asked_for_body=asked)
