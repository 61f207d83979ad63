"""Figures of a Prometheus: what they stand for, when they decide, and when they decide nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from modelpress.api.analysis import PLACEHOLDERS, AnalysisQuery
from modelpress.rollout.analysis import Verdict
from modelpress.rollout.queries import Answered, answered, judge, place, worst
from modelpress.rollout.situation import Outcome

STEP = "digits-2/1/noon"
MEMORY = AnalysisQuery(name="memory", query="max(used)", max=0.9)


def after(*readings: float | str) -> dict[str, Answered]:
    known = None
    for reading in readings:
        known = answered(known, STEP, MEMORY.query, reading)
    return {MEMORY.name: known} if known is not None else {}


def outcome(*readings: float | str, query: AnalysisQuery = MEMORY) -> Outcome:
    return judge([query], after(*readings), STEP).outcome


def test_two_readings_in_a_row_out_of_bounds_fail_and_one_waits_for_the_next() -> None:
    assert outcome() is Outcome.UNASKED
    assert outcome(0.9) is Outcome.PASSED
    assert outcome(0.91) is Outcome.UNASKED
    assert outcome(0.91, 0.5) is Outcome.PASSED
    assert outcome(0.91, 0.5, 0.91) is Outcome.UNASKED
    assert outcome(0.5, 0.91, 0.92) is Outcome.FAILED
    assert judge([MEMORY], after(1, 0.95), STEP).message == "Query memory is 0.95, at most 0.9 is asked for."


def test_a_least_number_is_held_too() -> None:
    within = AnalysisQuery(name="memory", query=MEMORY.query, min=1, max=2)
    assert outcome(1, 2, query=within) is Outcome.PASSED
    assert outcome(0.9, 0.9, query=within) is Outcome.FAILED
    assert "at least 1 and at most 2 is asked for" in judge([within], after(0, 0), STEP).message


@pytest.mark.parametrize("reading", ["it gives 0 series: it must give one number", math.nan, math.inf])
def test_what_gives_no_number_passes_nothing_and_rejects_nothing(reading: float | str) -> None:
    assert outcome(0.5, reading) is Outcome.INCONCLUSIVE
    assert outcome(0.95, reading, 0.95) is Outcome.UNASKED, "a gap ends a row"
    assert judge([MEMORY], after(reading), STEP).message.startswith("Query memory tells nothing: it g")


def test_answers_of_another_step_or_to_another_query_are_no_answers() -> None:
    known = after(0.95, 0.95)
    assert judge([MEMORY], known, "digits-2/2/later").outcome is Outcome.UNASKED
    changed = AnalysisQuery(name="memory", query="min(used)", max=0.9)
    assert judge([changed], known, STEP).outcome is Outcome.UNASKED
    assert answered(known["memory"], "digits-2/2/later", MEMORY.query, 0.95).values == (0.95,)


def test_the_worst_decides_and_like_verdicts_are_told_together() -> None:
    passed, failed, doubt = (
        Verdict(kind, text)
        for kind, text in ((Outcome.PASSED, "P."), (Outcome.FAILED, "F."), (Outcome.INCONCLUSIVE, "D."))
    )
    assert worst(passed, doubt) == doubt
    assert worst(doubt, failed, passed) == failed
    assert worst(doubt, Verdict(Outcome.UNASKED, "U.")).outcome is Outcome.UNASKED
    assert worst(passed, Verdict(Outcome.PASSED, ""), passed).message == "P. P."
    assert judge([], {}, STEP) == Verdict(Outcome.PASSED, "")


def test_placeholders_stand_for_the_revision_and_leave_the_braces_of_promql_alone() -> None:
    query = 'sum(rate(x{pod=~"{{revision}}-.*", in="{{namespace}}"}[{{window}}])) / y{job="{{model}}"} - {{stable}}'
    AnalysisQuery(name="x", query=query, max=1)
    values = {"revision": "m-2", "stable": "m-1", "model": "m", "namespace": "team", "window": "30s"}
    assert set(values) == set(PLACEHOLDERS)
    assert place(query, values) == 'sum(rate(x{pod=~"m-2-.*", in="team"}[30s])) / y{job="m"} - m-1'


@pytest.mark.parametrize("broken", [{"query": 'x{pod="{{pod}}"}'}, {"query": "x{{"}, {"name": "Big"}, {"query": ""}])
def test_a_query_that_asks_for_what_is_not_there_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AnalysisQuery.model_validate({"name": "x", "query": "x", "max": 1} | broken)
