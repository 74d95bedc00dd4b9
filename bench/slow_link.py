"""Adapter. A TCP connection that is late: what comes goes on after a while, in both its order.

    python bench/slow_link.py LISTEN_PORT HOST:PORT DELAY_MS

Only the way there is slowed: an answer is late by the delay all the same.
"""

from __future__ import annotations

import asyncio
import sys

HOST = "127.0.0.1"
READ_BYTES = 1 << 16


async def forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float
) -> None:
    """Until one end closes."""
    loop = asyncio.get_running_loop()
    while data := await reader.read(READ_BYTES):
        if delay_s:
            loop.call_later(delay_s, writer.write, data)
        else:
            writer.write(data)
    writer.close()


async def main() -> None:
    port, (host, _, target), delay_s = (
        int(sys.argv[1]),
        sys.argv[2].rpartition(":"),
        int(sys.argv[3]) / 1000,
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(host, int(target))
        except OSError:
            writer.close()
            return
        await asyncio.gather(
            forward(reader, back, delay_s), forward(there, writer, 0), return_exceptions=True
        )

    server = await asyncio.start_server(serve, HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
