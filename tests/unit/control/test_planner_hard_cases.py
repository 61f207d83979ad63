"""Every strategy in every hard case: what serves goes on serving, nobody unproved is asked, and all comes to rest."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.support.models import condition, summary
from tests.support.world import World, healthy
from tests.unit.control.hard_cases import COMES_TO, at_rest, go_on, under_way
from tests.unit.control.rollouts import (
    STRATEGIES,
    WITH_SETS_OF_THEIR_OWN,
    change,
    crash_looping,
    differing,
    only,
    reached_by_traffic,
    restarted,
    serving,
    sets,
    silent,
    unschedulable,
)

from modelpress.api.reasons import Reason
from modelpress.api.results import Failure


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("case", COMES_TO)
def test_it_comes_to_rest_at_the_revision_that_is_asked_for(strategy: str, case: str) -> None:
    world, old, new = under_way(strategy)
    wanted = COMES_TO[case](world, old, new)
    go_on(world)
    assert summary(world.status)["Ready"] == "True/Serving"
    assert world.status["currentRevision"] == wanted
    assert sets(world) == [wanted]
    at_rest(world)


BAD: dict[str, Callable[[World], Any]] = {
    "crashes": restarted,
    "dies under load": lambda world: restarted(world, code=137),
    "crashes again and again": lambda world: crash_looping,
    "stops answering": silent,
    "answers differently": lambda world: differing,
    "finds no node any more": lambda world: unschedulable,
}


ONLY_WITH_REQUESTS = ("crashes", "dies under load", "stops answering")
"""Faults that count only once a candidate has requests, which but a canary's has only when it has taken over."""
FAULTS = [
    (strategy, fault)
    for strategy in WITH_SETS_OF_THEIR_OWN
    for fault in BAD
    if strategy == "Canary" or fault not in ONLY_WITH_REQUESTS
]


@pytest.mark.parametrize(("strategy", "fault"), FAULTS)
def test_a_candidate_that_goes_bad_after_it_was_ready_loses_to_the_old_version(strategy: str, fault: str) -> None:
    world, old, new = under_way(strategy, replicas=2)
    world.pass_time(5)
    world.pods = only(new, BAD[fault](world))
    world.pass_time(2500)
    assert condition(world.status, "Stalled")["status"] == "True", summary(world.status)
    assert world.names("Deployment") == [old]
    assert reached_by_traffic(world) == {old}
    at_rest(world)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_fast_and_wrong_candidate_never_gets_a_request(strategy: str) -> None:
    world = serving(STRATEGIES[strategy], 2)
    old = world.status["currentRevision"]
    world.pods = only(old, healthy, differing)
    differs = Failure(reason=Reason.ANSWERS_DIFFER, message="3 of 8 answers differ.")
    world.loads = lambda pod, revision: True if revision == old else differs
    new, asked = change(world, 7), set[str]()
    for _ in range(120):
        world.round()
        world.now += timedelta(seconds=5)
        asked |= reached_by_traffic(world)
    assert new != old
    assert asked == {old}
    assert condition(world.status, "Stalled")["reason"] == "AnswersDiffer"
    assert world.names("Deployment") == [old]
