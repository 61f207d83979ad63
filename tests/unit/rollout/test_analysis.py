"""Requests are counted across restarts, and both versions are judged by what they did in the same time."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.models import NOON, at

from modelpress.api.defaults import EffectiveAnalysis
from modelpress.rollout.analysis import MISSES, Version, judge, version
from modelpress.rollout.counting import Counted, count, growth, total
from modelpress.rollout.situation import Outcome
from modelpress.triton.metrics import InferenceCounters

LIMITS = EffectiveAnalysis()


def did(good: float, bad: float = 0, milliseconds: float = 10, queued: float = 0, **more: Any) -> Version:
    counters = InferenceCounters(
        requests=good,
        failures=bad,
        request_microseconds=good * milliseconds * 1000,
        queue_microseconds=good * queued * 1000,
    )
    return Version(counters, **({"told": 1} | more))


def outcome(old: Version, new: Version, **limits: Any) -> Outcome:
    return judge(old, new, EffectiveAnalysis(**limits)).outcome


def test_a_version_as_good_as_the_old_one_passes() -> None:
    assert outcome(did(1000), did(500)) is Outcome.PASSED
    assert outcome(did(1000), did(500, 5)) is Outcome.PASSED


def test_a_version_that_fails_too_often_fails_as_soon_as_it_cannot_pass_any_more() -> None:
    assert outcome(did(1000), did(980, 20)) is Outcome.FAILED
    assert outcome(did(1000), did(0, 2)) is Outcome.FAILED
    assert outcome(did(1000), did(1, 1)) is Outcome.INCONCLUSIVE, "one failure of the 100 that decide is 1 %"


def test_failures_that_triton_counts_as_successes_are_not_counted_twice() -> None:
    everything = Version(InferenceCounters(requests=50, failures=50, refused=50), told=1)
    assert (everything.requests, everything.error_rate) == (50, 1.0)
    assert outcome(did(1000), everything) is Outcome.FAILED
    recent = InferenceCounters(requests=30, failures=30, refused=30)
    late = Version(InferenceCounters(requests=9000, failures=30, refused=30), told=1, recent=recent)
    assert outcome(did(1000), late) is Outcome.FAILED, "all of the last seconds failed"


def test_requests_that_fail_on_both_are_not_the_new_versions_fault() -> None:
    assert outcome(did(900, 100), did(450, 50)) is Outcome.PASSED
    assert outcome(did(900, 100), did(400, 100)) is Outcome.FAILED


def test_latency_is_compared_with_the_old_version_when_both_had_enough_requests() -> None:
    assert outcome(did(200), did(200, milliseconds=50)) is Outcome.PASSED, "nobody asked"
    assert outcome(did(200), did(200, milliseconds=11.9), max_latency_increase=0.2) is Outcome.PASSED
    assert outcome(did(200), did(200, milliseconds=12.1), max_latency_increase=0.2) is Outcome.FAILED
    assert outcome(did(99), did(200, milliseconds=50), max_latency_increase=0.2) is Outcome.INCONCLUSIVE
    assert outcome(did(200), did(99, milliseconds=50), max_latency_increase=0.2) is Outcome.INCONCLUSIVE
    told = judge(did(200), did(200, milliseconds=12.03), EffectiveAnalysis(max_latency_increase=0.2)).message
    assert told.startswith("It is slower by 20.3 %, 20 % are allowed: ")


def test_queue_time_is_limited_unless_requests_of_the_old_version_wait_as_long() -> None:
    assert outcome(did(200), did(200, queued=50)) is Outcome.PASSED, "nobody asked"
    assert outcome(did(200), did(200, queued=19.9), max_queue_time="20ms") is Outcome.PASSED
    assert outcome(did(200), did(200, queued=20.1), max_queue_time="20ms") is Outcome.FAILED
    assert outcome(did(200, queued=40), did(200, queued=40), max_queue_time="20ms") is Outcome.PASSED
    assert outcome(did(200, queued=40), did(200, queued=41), max_queue_time="20ms") is Outcome.FAILED
    assert outcome(did(99), did(200, queued=50), max_queue_time="20ms") is Outcome.INCONCLUSIVE
    told = judge(did(200, queued=1), did(200, queued=50), EffectiveAnalysis(max_queue_time="20ms")).message
    assert told.startswith("Its requests wait in the queue for 50.0 ms, 20ms is allowed: the new version failed 0 of")


def test_too_few_requests_do_not_tell() -> None:
    verdict = judge(did(1000), did(99), LIMITS)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "100 requests are needed" in verdict.message
    assert "failed 0 of 99 requests, 10.0 ms on average" in verdict.message


def test_missing_counters_of_the_new_version_alone_are_a_failure() -> None:
    assert outcome(did(1000), did(0, told=0, silent=("b-0",))) is Outcome.FAILED
    assert outcome(did(1000), did(500, silent=("b-0",))) is Outcome.FAILED
    assert outcome(did(0, told=0, silent=("a-0",)), did(0, told=0, silent=("b-0",))) is Outcome.INCONCLUSIVE


def test_counters_that_were_not_read_yet_are_waited_for() -> None:
    assert outcome(did(1000), Version()) is Outcome.UNASKED
    assert outcome(did(1000), did(500, unasked=1)) is Outcome.UNASKED


def test_one_reading_alone_does_not_tell_what_was_done_in_a_step_shorter_than_the_next() -> None:
    first = count(None, "w", InferenceCounters(requests=1000), NOON)
    assert judge(did(1000), version([("p", first)]), LIMITS).outcome is Outcome.UNASKED
    second = count(first, "w", InferenceCounters(requests=1200), at(5))
    assert judge(did(1000), version([("p", second)]), LIMITS).outcome is Outcome.PASSED


def test_one_reading_that_fails_is_no_missing_pod() -> None:
    first = count(None, "w", InferenceCounters(requests=10), NOON)
    missed = count(first, "w", None, at(5))
    assert version([("p", missed)]) == Version(InferenceCounters(), told=1, unasked=1, since=NOON)
    for number in range(MISSES - 1):
        missed = count(missed, "w", None, at(10 + number))
    assert version([("p", missed)]).silent == ("p",)
    again = count(missed, "w", InferenceCounters(requests=12), at(60))
    assert (again.misses, again.grown.requests) == (0, 2)


def test_what_was_done_before_the_step_does_not_count() -> None:
    old = Counted("first", NOON, InferenceCounters(requests=100), InferenceCounters(requests=70))
    fresh = count(old, "second", InferenceCounters(requests=110), at(5))
    assert (fresh.grown, fresh.since) == (InferenceCounters(), at(5))


def test_a_version_that_fails_as_a_step_begins_fails_at_the_first_reading_of_that_step() -> None:
    before = count(None, "starting", InferenceCounters(requests=100), NOON)
    failing = count(before, "first", InferenceCounters(requests=100, failures=30), at(5))
    found = judge(did(200), version([("p", failing)]), LIMITS)
    assert found.outcome is Outcome.FAILED
    assert "of the last seconds" in found.message
    one_miss = count(before, "first", None, at(5))
    assert count(one_miss, "first", InferenceCounters(failures=30), at(10)).recent == InferenceCounters()


def test_a_restart_begins_at_zero_and_loses_nothing_that_was_counted() -> None:
    counted = count(None, "w", InferenceCounters(requests=100), NOON)
    for time, requests in ((5, 130), (10, 20), (15, 50)):
        counted = count(counted, "w", InferenceCounters(requests=requests), at(time))
    assert counted.grown.requests == 30 + 20 + 30


@pytest.mark.parametrize("smaller", [item.name for item in fields(InferenceCounters)])
def test_any_counter_that_shrinks_is_a_restart(smaller: str) -> None:
    before = InferenceCounters(**{item.name: 5.0 for item in fields(InferenceCounters)})
    after = InferenceCounters(**{item.name: 4.0 if item.name == smaller else 9.0 for item in fields(InferenceCounters)})
    assert growth(before, after) == after


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.booleans()), min_size=1, max_size=20))
def test_all_requests_are_counted_but_those_that_a_restart_hid(life: list[tuple[int, bool]]) -> None:
    shown, counted, hidden = 0, count(None, "w", InferenceCounters(), NOON), 0
    for number, (done, restarts) in enumerate(life):
        before, shown = shown, done if restarts else shown + done
        hidden += before if restarts and shown >= before else 0
        counted = count(counted, "w", InferenceCounters(requests=shown), at(number))
    assert counted.grown.requests == sum(done for done, _ in life) - hidden


def test_counters_of_pods_add_up() -> None:
    parts = [InferenceCounters(requests=1, failures=2), InferenceCounters(requests=10)]
    assert total(parts) == InferenceCounters(requests=11, failures=2)
    assert total([]) == InferenceCounters()
