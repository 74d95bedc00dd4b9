import json
from dataclasses import replace

import pytest

from hdfsd.base.errors import ServiceFailed
from hdfsd.namenode.gate import HAState
from hdfsd.namenode.transition import (
    TO_ACTIVE,
    TRANSITIONS,
    Step,
    StepRecord,
    TransitionRecord,
    steps,
)


def before(first: Step, second: Step, path: tuple[Step, ...]) -> bool:
    return path.index(first) < path.index(second)


def test_order_that_the_promises_ask_for() -> None:
    assert before(Step.CLAIM_EPOCH, Step.CATCH_UP, TO_ACTIVE)  # P2, then P4
    assert before(Step.CATCH_UP, Step.OPEN_SEGMENT, TO_ACTIVE)  # P4
    assert before(Step.CLAIM_BLOCKS, Step.SERVE, TO_ACTIVE)  # P5
    assert TO_ACTIVE[-1] is Step.SERVE
    assert TRANSITIONS[HAState.ACTIVE, HAState.STANDBY][0] is Step.REFUSE


@pytest.mark.parametrize("source", list(HAState))
@pytest.mark.parametrize("target", list(HAState))
def test_every_pair_has_a_way_or_is_refused(source: HAState, target: HAState) -> None:
    if (source, target) in TRANSITIONS:
        assert steps(source, target) == TRANSITIONS[source, target]
    else:
        with pytest.raises(ServiceFailed, match=source.value):
            steps(source, target)


def test_a_record_tells_what_happened() -> None:
    record = TransitionRecord(
        HAState.STANDBY,
        HAState.ACTIVE,
        0,
        (StepRecord(Step.CLAIM_EPOCH, 5), StepRecord(Step.CATCH_UP, 7)),
        4711,
    )
    assert record.describe() == (
        "standby → active in 12 ms at txid 4711: claim_epoch 5, catch_up 7"
    )
    caught_up = replace(record, replayed_txns=17)
    assert "at txid 4711, 17 replayed: claim_epoch 5" in caught_up.describe()
    told = json.loads(json.dumps(caught_up.as_json()))
    assert (told["from"], told["to"], told["millis"]) == ("standby", "active", 12)
    assert (told["last_txid"], told["replayed_txns"]) == (4711, 17)
    assert told["steps"][1] == {
        "step": "catch_up",
        "millis": 7,
        "why": Step.CATCH_UP.value,
    }
