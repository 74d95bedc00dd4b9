"""Adapter. A process that is the writer of a journal until it is killed, fenced or has no quorum.

    python failover_writer.py JOURNAL_ID TAG ADDRESS...

It waits for a line on standard input, takes over, and then writes without end. On standard output
it says "recovered LAST", then "acknowledged TXID" for every transaction that is. It ends with 1
when the journal is lost to it, which it tells as "lost REASON"; anything else is a failure.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import deque

from journals import frames_of, new_journal

from hdfsd.base.errors import QuorumLost
from hdfsd.base.ids import Address, TxId
from hdfsd.io.http import RealHttpClient
from hdfsd.quorum.manager import QuorumJournal

IN_FLIGHT = 8
SEGMENT_TXNS = 60
SETTINGS = {
    "dfs.ha.tail-edits.in-progress": "true",
    **{
        f"dfs.qjournal.{phase}.timeout.ms": "4000"
        for phase in (
            "write-txns",
            "get-journal-state",
            "new-epoch",
            "prepare-recovery",
            "accept-recovery",
            "start-segment",
            "finalize-segment",
            "select-input-streams",
        )
    },
}


def say(text: str) -> None:
    # One write per line, below what a pipe takes whole: a kill leaves no half line.
    os.write(1, f"{text}\n".encode())


async def write_segment(journal: QuorumJournal, tag: str, first: int, dice: random.Random) -> int:
    """Several batches under way all the time; the txid behind the last."""
    await journal.start_segment(TxId(first))
    waiting: deque[tuple[int, int, asyncio.Future[None]]] = deque()
    next_txid = first
    while waiting or next_txid < first + SEGMENT_TXNS:
        while len(waiting) < IN_FLIGHT and next_txid < first + SEGMENT_TXNS:
            count = dice.randint(1, 3)
            last = next_txid + count - 1
            future = journal.write(TxId(next_txid), count, frames_of(tag, next_txid, last))
            waiting.append((next_txid, last, future))
            next_txid = last + 1
        begin, last, future = waiting.popleft()
        await future
        for txid in range(begin, last + 1):
            say(f"acknowledged {txid}")
    await journal.finalize_segment(TxId(first), TxId(next_txid - 1))
    return next_txid


async def write_on(addresses: list[Address], journal_id: str, tag: str) -> None:
    http = RealHttpClient()
    journal = new_journal(addresses, journal_id, http, SETTINGS)
    dice = random.Random(tag)
    try:
        last = await journal.recover()
        say(f"recovered {last}")
        next_txid = last + 1
        while True:
            next_txid = await write_segment(journal, tag, next_txid, dice)
    except QuorumLost as error:
        say(f"lost {' '.join(str(error).split())[:2000]}")
        sys.exit(1)
    finally:
        await journal.close()
        await http.close()


def main() -> None:
    journal_id, tag, *places = sys.argv[1:]
    addresses = [Address.parse(place) for place in places]
    sys.stdin.readline()
    asyncio.run(write_on(addresses, journal_id, tag))


if __name__ == "__main__":
    main()
