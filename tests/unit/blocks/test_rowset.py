from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.blocks.rowset import RowSet

ROWS = st.integers(0, 300)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.booleans(), ROWS), max_size=80), st.sets(ROWS))
def test_behaves_like_a_set_of_numbers(changes, others):
    rows, model = RowSet(), set()
    for add, row in changes:
        if add:
            assert rows.add(row) == (row not in model)
            model.add(row)
        else:
            assert rows.discard(row) == (row in model)
            model.discard(row)
    other = RowSet()
    for row in others:
        other.add(row)
    assert list(rows) == sorted(model)
    assert rows.count == len(model)
    assert all((row in rows) == (row in model) for row in range(400))
    left = rows.minus(other)
    assert (list(left), left.count) == (sorted(model - others), len(model - others))
    twin = rows.copy()
    twin.add(1000)
    assert list(rows) == sorted(model)
    assert list(twin) == [*sorted(model), 1000]


def test_iteration_is_over_the_rows_at_its_start():
    rows = RowSet()
    for row in (1, 9, 17):
        rows.add(row)
    seen = []
    for row in rows:
        seen.append(row)
        rows.discard(17)
        rows.add(30)
    assert seen == [1, 9, 17]
