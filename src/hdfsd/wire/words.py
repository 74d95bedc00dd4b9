"""Data. What our daemons ask of each other through GenericRefreshProtocol.

It is the one door of Hadoop's protocols that takes a word and gives a text. A daemon of Hadoop's
answers that it does not know the word, and is asked nothing more.
"""

from __future__ import annotations

EXPLAIN = "hdfsd.failover.explain"
"""Of a failover controller: what it knows, does and did, as JSON."""
CATCH_UP = "hdfsd.namenode.catch-up"
"""Of a NameNode: to read the journal to its end now; the answer is the last transaction applied."""
COVERAGE = f"words of our own only: {EXPLAIN} to a controller, {CATCH_UP} to a NameNode"
"""What docs/COVERAGE.md says of the protocol."""
NO_SUCH_WORD = 255
"""The exit status of an answer that means: this word is not known here."""
