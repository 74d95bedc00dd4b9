"""Driver. What a NameNode says of itself on its /jmx page, as far as failovers go."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from hdfsd.base.errors import CorruptData
from hdfsd.base.ids import Address
from hdfsd.ports.http import HttpClient

STATUS_BEAN = "Hadoop:service=NameNode,name=NameNodeStatus"
TIMELINE_BEAN = "hdfsd:service=NameNode,name=Failover"
PAGE_BYTES_MAX = 1 << 22
HTTP_OK = 200


async def bean(http: HttpClient, address: Address, name: str, *, ask_ms: int) -> dict[str, Any]:
    """A bean's attributes; empty when the NameNode has none of that name. Raises LinkError, and
    CorruptData for a page that can't be read."""
    url = f"http://{address}/jmx?qry={quote(name, safe='')}"
    reply = await http.request("GET", url, connect_ms=ask_ms, read_ms=ask_ms)
    data = bytearray()
    try:
        async for chunk in reply.chunks():
            data += chunk
            if len(data) > PAGE_BYTES_MAX:
                raise CorruptData(url, PAGE_BYTES_MAX, "longer than a page of beans may be")
    finally:
        await reply.close()
    if reply.status != HTTP_OK:
        return {}
    try:
        beans = json.loads(data)["beans"]
        return dict(beans[0]) if beans else {}
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CorruptData(url, None, f"no page of beans: {error!r}") from error


async def transitions(http: HttpClient, address: Address, *, ask_ms: int) -> list[str]:
    """Its last transitions, each with its steps, milliseconds and last transaction; none of a
    Hadoop NameNode. Raises as `bean` does."""
    found = await bean(http, address, TIMELINE_BEAN, ask_ms=ask_ms)
    return [str(line) for line in found.get("Timeline", ())]
