"""When does traffic move, and when may the old pods go? What holds for every strategy."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.models import NOON, at

from modelpress.api.analysis import OnInconclusiveAnalysis
from modelpress.api.rollout import Strategy
from modelpress.rollout.decide import decide
from modelpress.rollout.situation import (
    OVERLAP,
    CanaryStep,
    Decision,
    InPlace,
    Memory,
    Outcome,
    Side,
    Situation,
    Stage,
    Traffic,
)

READY = Side(exists=True, asked=2, answering=2, settled=True, alive=2)
UNREADY = Side(exists=True, asked=2, answering=1, alive=2)
LONG_AGO = at(-3600)
STEPS = (CanaryStep(10, timedelta(seconds=60)), CanaryStep(50, timedelta(seconds=60)))


def seen(sides: dict[str, Side], traffic: Traffic, candidate: str | None, **more: Any) -> Situation:
    return Situation(sides, traffic, candidate, NOON, **({"full": 2, "steps": STEPS} | more))


def on(stable: str | None, **more: Any) -> Traffic:
    return Traffic(stable, **({"since": LONG_AGO} | more))


def test_the_first_version_is_started_and_led_to_once_it_is_ready_whatever_the_strategy() -> None:
    for strategy in Strategy:
        for sides in ({}, {"a": UNREADY}):
            step = decide(seen(sides, Traffic(None), "a", strategy=strategy))
            assert (step.stable, step.run) == (None, {"a": 2})
        assert decide(seen({"a": READY}, Traffic(None), "a", strategy=strategy)).stable == "a"


def test_the_old_version_keeps_traffic_until_all_of_the_new_one_is_ready() -> None:
    assert decide(seen({"a": READY, "b": UNREADY}, on("a"), "b")).stable == "a"
    assert decide(seen({"a": UNREADY, "b": READY}, on("a"), "b")).stable == "b"


def test_the_old_pods_go_when_the_overlap_is_over_and_not_before() -> None:
    sides = {"a": READY, "b": READY}
    early = decide(seen(sides, on("b", since=NOON, previous="a"), "b"))
    assert early == Decision("b", run={"b": None}, look_again=NOON + OVERLAP)
    assert decide(seen(sides, on("b", since=NOON - OVERLAP, previous="a"), "b")).retire == ("a",)


def test_the_old_set_stays_for_the_delay_and_is_returned_to_at_once() -> None:
    sides, delay = {"a": READY, "b": READY}, timedelta(minutes=5)
    kept = decide(seen(sides, on("b", since=at(-299), previous="a"), "b", delay=delay))
    assert (kept.retire, kept.look_again) == ((), at(1))
    for strategy in Strategy:
        assert decide(seen(sides, on("b", since=at(-299), previous="a"), "a", strategy=strategy)).stable == "a"


def test_a_candidate_that_was_overtaken_goes_while_the_next_one_starts() -> None:
    step = decide(seen({"a": READY, "b": UNREADY, "c": UNREADY}, on("a"), "c"))
    assert (step.stable, step.retire) == ("a", ("b",))


def test_held_starts_nothing_and_moves_nothing() -> None:
    assert decide(seen({"a": READY, "b": READY}, on("a"), "b", held=True)) == Decision("a", run={"a": None, "b": 2})
    assert decide(seen({"a": READY}, on("a"), "b", held=True)) == Decision("a", run={"a": None})


def test_without_a_candidate_only_what_is_abandoned_for_sure_goes() -> None:
    sides = {"a": READY, "b": UNREADY}
    assert decide(seen(sides, on("a"), None)) == Decision("a", run={"a": None})
    assert decide(seen(sides, on("a"), None, abandoned=("a", "b"))).retire == ("b",)


def test_a_candidate_that_is_not_wanted_any_more_loses_its_share_first_and_its_pods_once_that_is_seen() -> None:
    sides, abandoned = {"a": READY, "b": READY}, ("b",)
    closing = decide(seen(sides, on("a", beside="b"), None, abandoned=abandoned))
    assert (closing.stable, closing.beside, closing.retire) == ("a", None, ())
    assert decide(seen(sides, on("a", since=NOON), None, abandoned=abandoned)).retire == ("b",)


def test_the_set_that_had_all_traffic_just_now_stays_for_the_overlap_though_the_spec_does_not_ask_for_it() -> None:
    sides, abandoned = {"a": READY, "b": READY}, ("a",)
    early = decide(seen(sides, on("b", since=NOON, previous="a"), None, abandoned=abandoned))
    assert (early.retire, early.look_again) == ((), NOON + OVERLAP)
    assert decide(seen(sides, on("b", since=NOON - OVERLAP, previous="a"), None, abandoned=abandoned)).retire == ("a",)


def test_recreate_stops_the_old_set_waits_for_its_pods_and_starts_the_new_one() -> None:
    def step(**sides: Side) -> Decision:
        return decide(seen(sides, on("a"), "b", strategy=Strategy.RECREATE))

    assert step(a=READY).retire == ("a",)
    assert step(a=READY).run == {}
    assert step(a=Side(leaving=1)).run == {}
    assert step(a=Side()).run == {"b": 2}
    assert step(b=UNREADY).stable == "a", "the Service waits for pods that answer"
    assert step(b=READY).stable == "b"


def test_a_recreated_version_that_is_rejected_has_the_old_one_started_again() -> None:
    step = decide(seen({"b": UNREADY}, on("a"), None, abandoned=("b",), strategy=Strategy.RECREATE))
    assert (step.run, step.retire) == ({"a": None}, ("b",))


def test_in_place_the_old_pods_load_the_new_version_prove_it_everywhere_and_then_switch() -> None:
    def step(proved: int, pods: int = 2, **sides: Side) -> Decision:
        told = InPlace(pods, proved)
        return decide(seen({"a": READY, **sides}, on("a"), "b", strategy=Strategy.IN_PLACE, in_place=told))

    assert (step(0).stable, step(0).load, step(0).run) == ("a", "b", {"a": None})
    assert step(1).stable == "a", "every pod has to prove it"
    assert step(2, pods=3).stable == "a", "those that were started meanwhile too"
    assert step(2, a=UNREADY).stable == "a"
    assert (step(2).stable, step(2).load, step(2).run) == ("b", "b", {"b": None})


def test_in_place_pods_that_the_candidate_had_of_its_own_go_first() -> None:
    sides = {"a": READY, "b": UNREADY}
    found = decide(seen(sides, on("a"), "b", strategy=Strategy.IN_PLACE))
    assert (found.retire, found.load) == (("b",), None)
    closing = decide(seen({"a": READY, "b": READY}, on("a", beside="b"), "b", strategy=Strategy.IN_PLACE))
    assert (closing.stable, closing.beside, closing.retire, closing.load) == ("a", None, (), None)


def test_a_candidate_that_is_sent_back_is_unloaded() -> None:
    assert decide(seen({"a": READY}, on("a"), None, in_place=InPlace(2, 2))).load is None


side = st.builds(
    Side,
    exists=st.booleans(),
    asked=st.integers(0, 3),
    answering=st.integers(0, 3),
    settled=st.booleans(),
    alive=st.integers(0, 3),
    leaving=st.integers(0, 1),
)
name = st.none() | st.sampled_from("abcd")
moment = st.integers(-200, 0).map(at)


def memories() -> st.SearchStrategy[Memory | None]:
    made = st.builds(Memory, st.sampled_from("abcd"), st.sampled_from(Stage), moment, st.integers(0, 4), moment)
    return st.none() | made


situations = st.builds(
    Situation,
    sides=st.dictionaries(st.sampled_from("abcd"), side),
    traffic=st.builds(Traffic, name, name, name, st.none() | moment),
    candidate=name,
    now=st.just(NOON),
    full=st.integers(0, 3),
    abandoned=st.sets(st.sampled_from("abcd")).map(lambda found: tuple(sorted(found))),
    held=st.booleans(),
    promoted=st.booleans(),
    strategy=st.sampled_from(Strategy),
    steps=st.just(STEPS),
    memory=memories(),
    outcome=st.sampled_from(Outcome),
    counted_since=st.none() | moment,
    on_inconclusive=st.sampled_from(OnInconclusiveAnalysis),
    in_place=st.builds(InPlace, st.integers(0, 3), st.integers(0, 3)),
).filter(lambda found: found.traffic.stable is not None or found.traffic.beside is None)


@settings(deadline=None)
@given(situations)
def test_what_has_traffic_never_goes_and_traffic_moves_to_whole_sets_only(found: Situation) -> None:
    step = decide(found)
    stops = found.strategy is Strategy.RECREATE and found.candidate not in (None, found.traffic.stable)
    assert stops or not {step.stable, step.beside} & set(step.retire)
    assert not set(step.run) & set(step.retire)
    assert found.traffic.beside not in step.retire or found.traffic.beside is None or stops
    if step.stable != found.traffic.stable:
        assert step.stable == found.candidate
        in_place = step.load == step.stable and found.in_place.whole(found.full)
        assert in_place or found.side(step.stable).whole(found.full)
        assert not found.held
    assert found.traffic.stable is None or step.stable is not None


@settings(deadline=None)
@given(situations)
def test_nobody_comes_in_beside_the_stable_set_but_the_candidate_alone_and_ready(found: Situation) -> None:
    step = decide(found)
    if step.beside is None:
        return
    assert step.beside == found.candidate
    if found.traffic.beside != step.beside:
        assert found.side(step.beside).settled
        assert not [name for name in found.sides if found.sides[name].exists and name not in step.run]
        assert not found.held


@settings(deadline=None)
@given(situations)
def test_no_other_candidate_starts_while_one_answers(found: Situation) -> None:
    step = decide(found)
    started = {name for name in step.run if not found.side(name).exists} - {found.traffic.stable}
    assert found.traffic.beside in (None, found.candidate) or not started


@settings(deadline=None)
@given(situations)
def test_nothing_is_loaded_but_the_candidate_and_never_while_it_has_pods_with_traffic(found: Situation) -> None:
    step = decide(found)
    assert step.load in (None, found.candidate)
    if step.load is not None:
        assert step.beside is None or found.held


@settings(deadline=None)
@given(situations)
def test_another_round_is_asked_for_only_in_the_future(found: Situation) -> None:
    step = decide(found)
    assert step.look_again is None or step.look_again > NOON
