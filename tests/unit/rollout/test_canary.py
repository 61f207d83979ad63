"""A canary, step by step."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.models import NOON, at

from modelpress.api.analysis import OnInconclusiveAnalysis
from modelpress.api.rollout import Strategy
from modelpress.rollout.decide import decide
from modelpress.rollout.situation import CanaryStep, Memory, Outcome, Side, Situation, Stage, Traffic
from modelpress.rollout.weights import candidate_pods, is_coarse, reached

MINUTE = timedelta(seconds=60)
STEPS = (CanaryStep(20, MINUTE), CanaryStep(50, MINUTE))


def pods(asked: int, answering: int | None = None) -> Side:
    answering = asked if answering is None else answering
    return Side(True, asked, answering, asked == answering, asked)


BEFORE = Situation(
    sides={"a": pods(4)},
    traffic=Traffic("a", since=at(-3600)),
    candidate="b",
    now=NOON,
    full=4,
    strategy=Strategy.CANARY,
    steps=STEPS,
)


def at_step(step: int, answering: int, asked: int, **more: Any) -> Situation:
    """Return a canary whose pods have answered for 61 seconds."""
    memory = Memory("b", Stage.STEP, at(-70), step, at(-61))
    sides = {"a": pods(4), "b": pods(asked, answering)}
    changes = {"sides": sides, "traffic": Traffic("a", "b", since=at(-70)), "memory": memory}
    return replace(BEFORE, **(changes | {"outcome": Outcome.PASSED} | more))


@pytest.mark.parametrize(
    ("full", "weight", "expected"), [(1, 10, 1), (4, 20, 1), (9, 10, 1), (10, 50, 10), (3, 50, 3), (20, 10, 2)]
)
def test_pods_come_as_close_to_the_weight_as_whole_ones_can(full: int, weight: int, expected: int) -> None:
    assert candidate_pods(full, weight) == expected
    closest = min(range(1, full + 1), key=lambda count: abs(weight - 100 * count / (count + full)))
    assert abs(reached(expected, full) - weight) <= abs(reached(closest, full) - weight) + 1


def test_a_weight_that_whole_pods_miss_by_far_is_coarse() -> None:
    assert is_coarse(10, reached(1, 1))
    assert not is_coarse(10, reached(1, 9))


def test_the_first_pods_come_up_out_of_traffic_and_are_let_in_when_they_answer() -> None:
    step = decide(BEFORE)
    assert (step.beside, step.run, step.memory) == (None, {"a": None, "b": 1}, Memory("b", Stage.STARTING, NOON))
    step = decide(replace(BEFORE, sides={"a": pods(4), "b": pods(1, 0)}))
    assert step.beside is None
    step = decide(replace(BEFORE, sides={"a": pods(4), "b": pods(1)}))
    assert (step.stable, step.beside, step.memory) == ("a", "b", Memory("b", Stage.STEP, NOON, 0, NOON))


@pytest.mark.parametrize("stranger", [pods(1), Side(alive=1)], ids=["a set", "a pod"])
def test_nobody_is_let_in_while_pods_of_a_third_revision_are_there(stranger: Side) -> None:
    sides = {"a": pods(4), "b": pods(1), "c": stranger}
    assert decide(replace(BEFORE, sides=sides)).beside is None


def test_a_step_lasts_its_pause_from_when_its_pods_answer_and_from_when_requests_are_counted() -> None:
    assert decide(at_step(0, 1, 1)).run == {"a": None, "b": 4}
    early = decide(replace(at_step(0, 1, 1), now=at(-2)))
    assert (early.run["b"], early.look_again) == (1, at(-1))
    recounted = decide(at_step(0, 1, 1, counted_since=at(-30)))
    assert (recounted.run["b"], recounted.look_again) == (1, at(30))


def test_a_step_whose_pods_are_not_all_there_goes_on() -> None:
    assert decide(at_step(0, 0, 1)).memory == at_step(0, 0, 1).memory
    assert decide(at_step(1, 3, 4)).stable == "a"


def test_after_the_last_step_a_full_set_takes_over() -> None:
    assert decide(at_step(1, 4, 4)).stable == "b"
    steps = (CanaryStep(20, MINUTE),)
    step = decide(at_step(0, 1, 1, steps=steps))
    assert (step.stable, step.beside, step.run) == ("a", "b", {"a": None, "b": 4})
    assert step.memory is not None
    assert step.memory.stage is Stage.PROMOTING
    assert decide(at_step(0, 4, 4, steps=steps, memory=step.memory)).stable == "b"


@pytest.mark.parametrize("outcome", [Outcome.UNASKED, Outcome.FAILED])
def test_a_step_that_was_not_judged_well_does_not_end(outcome: Outcome) -> None:
    step = decide(at_step(0, 1, 1, outcome=outcome))
    assert (step.run["b"], step.rejects, step.awaits) == (1, False, "")


def test_an_inconclusive_step_does_as_is_asked() -> None:
    def step(asked: OnInconclusiveAnalysis) -> Any:
        return decide(at_step(0, 1, 1, outcome=Outcome.INCONCLUSIVE, on_inconclusive=asked))

    assert step(OnInconclusiveAnalysis.PROMOTE).run["b"] == 4
    assert step(OnInconclusiveAnalysis.ROLLBACK).rejects
    assert (step(OnInconclusiveAnalysis.PAUSE).run["b"], bool(step(OnInconclusiveAnalysis.PAUSE).awaits)) == (1, True)


def test_a_step_without_a_pause_waits_for_a_person_and_promotion_skips_all_that_is_left() -> None:
    steps = (CanaryStep(20, None), *STEPS)
    waiting = decide(at_step(0, 1, 1, steps=steps))
    assert waiting.awaits
    assert waiting.run["b"] == 1
    promoted = decide(at_step(0, 1, 1, steps=steps, promoted=True))
    assert (promoted.stable, promoted.beside, promoted.run["b"]) == ("a", "b", 4)
    assert decide(at_step(0, 4, 4, steps=steps, promoted=True)).stable == "b"


def test_a_lost_memory_begins_the_first_step_anew_and_keeps_the_old_set_whole() -> None:
    step = decide(at_step(1, 4, 4, memory=None))
    assert (step.stable, step.beside, step.run) == ("a", "b", {"a": None, "b": 1})
    assert step.memory == Memory("b", Stage.STEP, NOON, 0, None)


def test_a_third_version_shuts_the_second_one_out_before_it_starts() -> None:
    step = decide(at_step(1, 4, 4, candidate="c"))
    assert (step.stable, step.beside, step.run, step.retire) == ("a", None, {"a": None}, ())


def test_a_held_canary_keeps_its_share_and_its_step() -> None:
    found = at_step(0, 1, 1, held=True)
    step = decide(found)
    assert (step.beside, step.run, step.memory) == ("b", {"a": None, "b": 1}, found.memory)


def test_the_candidate_follows_a_stable_set_that_is_scaled() -> None:
    assert decide(at_step(0, 1, 1, full=8, sides={"a": pods(8), "b": pods(1)})).run["b"] == 2


def test_nothing_is_shared_where_nothing_answers() -> None:
    assert decide(replace(BEFORE, full=0, sides={"a": pods(0), "b": pods(0)})).stable == "b"
