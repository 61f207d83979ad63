"""Candidate first: when does traffic move, and when may the old pods go?"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.support.models import NOON, at

from modelpress.rollout.replace import OVERLAP, Side, Step, replace

READY, UNREADY, GONE = Side(exists=True, ready=True), Side(exists=True, ready=False), Side(exists=False, ready=False)
LONG_AGO = at(-3600)


def test_the_first_version_is_started_and_pointed_at_once_it_is_ready() -> None:
    wish = {"main": None, "switched_at": None, "candidate": "a", "held": False, "now": NOON}
    assert replace({}, **wish) == Step(start=True, main=None)
    assert replace({"a": UNREADY}, **wish) == Step(start=True, main=None)
    assert replace({"a": READY}, **wish) == Step(start=True, main="a")


def test_the_old_version_keeps_traffic_until_the_new_one_is_ready() -> None:
    wish = {"main": "a", "switched_at": LONG_AGO, "candidate": "b", "held": False, "now": NOON}
    assert replace({"a": READY, "b": UNREADY}, **wish) == Step(start=True, main="a")
    assert replace({"a": UNREADY, "b": READY}, **wish) == Step(start=True, main="b")


def test_the_old_pods_go_when_the_overlap_is_over_and_not_before() -> None:
    sides = {"a": READY, "b": READY}
    early = replace(sides, main="b", switched_at=NOON, candidate="b", held=False, now=NOON)
    assert early == Step(start=True, main="b", look_again=NOON + OVERLAP)
    late = replace(sides, main="b", switched_at=NOON, candidate="b", held=False, now=NOON + OVERLAP)
    assert late == Step(start=True, main="b", retire=("a",))


def test_a_candidate_that_was_overtaken_goes_while_the_next_one_starts() -> None:
    sides = {"a": READY, "b": UNREADY, "c": UNREADY}
    step = replace(sides, main="a", switched_at=LONG_AGO, candidate="c", held=False, now=NOON)
    assert step == Step(start=True, main="a", retire=("b",))


def test_held_starts_nothing_and_moves_nothing() -> None:
    sides = {"a": READY, "b": READY}
    step = replace(sides, main="a", switched_at=LONG_AGO, candidate="b", held=True, now=NOON)
    assert step == Step(start=False, main="a")


def test_without_a_candidate_only_what_is_abandoned_for_sure_goes() -> None:
    sides = {"a": READY, "b": UNREADY}
    wish = {"main": "a", "switched_at": LONG_AGO, "candidate": None, "held": False, "now": NOON}
    assert replace(sides, **wish) == Step(start=False, main="a")
    assert replace(sides, abandoned=("a", "b"), **wish) == Step(start=False, main="a", retire=("b",))


sides = st.dictionaries(st.sampled_from("abcd"), st.sampled_from([READY, UNREADY, GONE]))
name = st.none() | st.sampled_from("abcd")


@given(sides, name, name, st.none() | st.integers(-30, 0), st.booleans(), st.sets(st.sampled_from("abcd")))
def test_what_has_traffic_never_goes_and_traffic_moves_to_ready_pods_only(
    sides: dict[str, Side], main: str | None, candidate: str | None, since: int | None, held: bool, abandoned: set[str]
) -> None:
    switched = at(since) if since is not None else None
    step = replace(
        sides,
        main=main,
        switched_at=switched,
        candidate=candidate,
        abandoned=tuple(sorted(abandoned)),
        held=held,
        now=NOON,
    )
    assert main not in step.retire
    assert step.main not in step.retire
    if step.main != main:
        assert step.main == candidate and sides[step.main].ready and not held
    if main is not None:
        assert step.main is not None
