"""The words are bytes between daemons of different versions: they stay as they are."""

from __future__ import annotations

from hdfsd.wire import words


def test_words_do_not_change() -> None:
    assert words.EXPLAIN == "hdfsd.failover.explain"
    assert words.CATCH_UP == "hdfsd.namenode.catch-up"
    assert words.NO_SUCH_WORD == 255
