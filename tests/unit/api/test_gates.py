"""Gates, judged by figures: every goal, both directions, and what cannot be told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelpress.api.evaluation import Gate, Goal, MeasuredOn, OnInconclusive
from modelpress.api.figures import DiscordantPairs, Figures, LatencyFigure, MetricFigure
from modelpress.api.gates import judge, judge_served, measured_on, missing_metrics, overall
from modelpress.api.reasons import Reason
from modelpress.api.verification import ServedFigures, ServedLatency


def top1(original_only: int, compressed_only: int, samples: int = 1000, right: int = 950) -> MetricFigure:
    """An accuracy of 95 %, and where the result differs."""
    return MetricFigure(
        name="top1",
        original=right / samples,
        compressed=(right - original_only + compressed_only) / samples,
        higher_is_better=True,
        samples=samples,
        pairs=DiscordantPairs(original_only=original_only, compressed_only=compressed_only),
    )


def error(original: float, compressed: float, standard_error: float | None, samples: int = 1000) -> MetricFigure:
    return MetricFigure(
        name="error",
        original=original,
        compressed=compressed,
        higher_is_better=False,
        samples=samples,
        standard_error=standard_error,
        compressed_standard_error=standard_error,
    )


def figures(*metrics: MetricFigure) -> Figures:
    latency = (
        LatencyFigure(batch_size=1, original_p50=2.0, compressed_p50=1.5, original_p99=3.0, compressed_p99=2.0),
        LatencyFigure(batch_size=32, original_p50=9.0, compressed_p50=20.0, original_p99=30.0, compressed_p99=20.0),
    )
    return Figures(original_bytes=100_000, compressed_bytes=30_000, metrics=metrics, latency=latency)


def outcome(found: Figures, metric: str, goal: Goal, value: float, **more: Any) -> str:
    (judged,) = judge(found, [Gate(metric=metric, goal=goal, value=value, **more)])
    return judged.outcome


def message(found: Figures, metric: str, goal: Goal, value: float, **more: Any) -> str:
    (judged,) = judge(found, [Gate(metric=metric, goal=goal, value=value, **more)])
    return judged.message


LOST_HALF_A_PERCENT = figures(top1(8, 3))
LOST_FOUR_PERCENT = figures(top1(45, 5))


@pytest.mark.parametrize(
    ("found", "goal", "value", "expected"),
    [
        (LOST_HALF_A_PERCENT, Goal.MAX_DEGRADATION, 0.02, "Pass"),
        (LOST_HALF_A_PERCENT, Goal.MAX_DEGRADATION, 0.006, "Inconclusive"),
        (LOST_FOUR_PERCENT, Goal.MAX_DEGRADATION, 0.02, "Fail"),
        (LOST_HALF_A_PERCENT, Goal.PERCENT_MAX_DEGRADATION, 2, "Pass"),
        (LOST_FOUR_PERCENT, Goal.PERCENT_MAX_DEGRADATION, 2, "Fail"),
        (LOST_HALF_A_PERCENT, Goal.THRESHOLD, 0.9, "Pass"),
        (LOST_HALF_A_PERCENT, Goal.THRESHOLD, 0.945, "Inconclusive"),
        (LOST_HALF_A_PERCENT, Goal.THRESHOLD, 0.97, "Fail"),
        (LOST_HALF_A_PERCENT, Goal.MIN_IMPROVEMENT, 0.01, "Fail"),
        (figures(top1(3, 40)), Goal.MIN_IMPROVEMENT, 0.01, "Pass"),
        (figures(top1(3, 40)), Goal.PERCENT_MIN_IMPROVEMENT, 1, "Pass"),
    ],
)
def test_a_metric_where_higher_is_better(found: Figures, goal: Goal, value: float, expected: str) -> None:
    assert outcome(found, "top1", goal, value) == expected


@pytest.mark.parametrize(
    ("compressed", "goal", "value", "expected"),
    [
        (0.21, Goal.MAX_DEGRADATION, 0.02, "Pass"),
        (0.21, Goal.MAX_DEGRADATION, 0.011, "Inconclusive"),
        (0.25, Goal.MAX_DEGRADATION, 0.02, "Fail"),
        (0.21, Goal.PERCENT_MAX_DEGRADATION, 10, "Pass"),
        (0.25, Goal.PERCENT_MAX_DEGRADATION, 10, "Fail"),
        (0.21, Goal.THRESHOLD, 0.22, "Pass"),
        (0.21, Goal.THRESHOLD, 0.2, "Fail"),
        (0.15, Goal.MIN_IMPROVEMENT, 0.03, "Pass"),
        (0.15, Goal.PERCENT_MIN_IMPROVEMENT, 30, "Fail"),
    ],
)
def test_a_metric_where_lower_is_better(compressed: float, goal: Goal, value: float, expected: str) -> None:
    assert outcome(figures(error(0.2, compressed, 0.002)), "error", goal, value) == expected


def test_size_is_compared_as_it_is() -> None:
    found = figures()
    assert outcome(found, "size", Goal.PERCENT_MIN_IMPROVEMENT, 70) == "Pass"
    assert outcome(found, "size", Goal.PERCENT_MIN_IMPROVEMENT, 70.1) == "Fail"
    assert outcome(found, "size", Goal.THRESHOLD, 30_000) == "Pass"
    assert outcome(found, "size", Goal.THRESHOLD, 29_999) == "Fail"
    assert outcome(found, "size", Goal.MAX_DEGRADATION, 0) == "Pass"


def test_latency_is_judged_at_the_first_batch_size() -> None:
    assert outcome(figures(), "latency", Goal.PERCENT_MIN_IMPROVEMENT, 25) == "Pass"
    assert outcome(figures(), "latency", Goal.THRESHOLD, 1.4) == "Fail"


def test_few_samples_cannot_tell() -> None:
    perfect = figures(top1(0, 0, samples=20, right=20))
    assert outcome(perfect, "top1", Goal.MAX_DEGRADATION, 0.02) == "Inconclusive"
    assert outcome(figures(error(0.2, 0.2, 0.0001, samples=10)), "error", Goal.MAX_DEGRADATION, 0.1) == "Inconclusive"
    assert outcome(figures(error(0.2, 0.2, None)), "error", Goal.MAX_DEGRADATION, 0.1) == "Inconclusive"


def test_bounds_end_where_the_metric_does() -> None:
    area = error(0.99, 0.99, 0.02).model_copy(update={"higher_is_better": True, "least": 0.0, "most": 1.0})
    wide = area.model_copy(update={"standard_error": 2.0})
    assert "(95 % bounds 0.957…1.00, n" in message(figures(area), "error", Goal.THRESHOLD, 0.9)
    assert "(95 % bounds of the loss -1.00…1.00, n" in message(figures(wide), "error", Goal.MAX_DEGRADATION, 0.1)
    small = error(0.01, 0.01, 0.02).model_copy(update={"least": 0.0})
    assert "(95 % bounds 0.000…0.043, n" in message(figures(small), "error", Goal.THRESHOLD, 0.9)


def test_less_confidence_is_easier_to_have() -> None:
    assert outcome(LOST_HALF_A_PERCENT, "top1", Goal.MAX_DEGRADATION, 0.011, confidence=0.99) == "Inconclusive"
    assert outcome(LOST_HALF_A_PERCENT, "top1", Goal.MAX_DEGRADATION, 0.011, confidence=0.6) == "Pass"


def test_what_is_no_number_fails() -> None:
    assert outcome(figures(error(0.2, float("nan"), 0.1)), "error", Goal.MAX_DEGRADATION, 1) == "Fail"


def test_what_was_not_measured_cannot_be_told_and_is_listed() -> None:
    gates = [Gate(metric=metric, goal=Goal.THRESHOLD, value=1) for metric in ("f1", "size", "latency", "f1")]
    assert judge(figures(), gates)[0].outcome == "Inconclusive"
    assert missing_metrics(figures(), gates) == ["f1"]
    assert missing_metrics(Figures(original_bytes=1, compressed_bytes=1), gates) == ["f1", "latency"]


def test_there_is_no_percentage_of_zero() -> None:
    assert outcome(figures(error(0.0, 0.1, 0.01)), "error", Goal.PERCENT_MAX_DEGRADATION, 5) == "Inconclusive"


def test_all_gates_must_pass() -> None:
    easy = Gate(metric="size", goal=Goal.THRESHOLD, value=1e9)
    hard = Gate(metric="size", goal=Goal.THRESHOLD, value=1)
    unclear = Gate(metric="top1", goal=Goal.MAX_DEGRADATION, value=0.006)
    lenient = unclear.model_copy(update={"on_inconclusive": OnInconclusive.PASS})
    for gates, accepted, reason in (
        ([], True, Reason.GATES_PASSED),
        ([easy], True, Reason.GATES_PASSED),
        ([easy, hard], False, Reason.GATE_FAILED),
        ([easy, unclear], False, Reason.GATE_INCONCLUSIVE),
        ([unclear, hard], False, Reason.GATE_FAILED),
        ([easy, lenient], True, Reason.GATES_PASSED),
    ):
        verdict = overall(judge(LOST_HALF_A_PERCENT, gates), gates)
        assert (verdict.accepted, verdict.reason) == (accepted, reason)
        assert verdict.message


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 60), st.integers(0, 60), st.floats(0, 0.2), st.floats(0, 0.2))
def test_a_looser_limit_never_judges_worse(lost: int, won: int, one: float, other: float) -> None:
    order = ["Fail", "Inconclusive", "Pass"]
    tight, loose = sorted((one, other))
    found = figures(top1(lost, won))
    judged = [order.index(outcome(found, "top1", Goal.MAX_DEGRADATION, limit)) for limit in (tight, loose)]
    assert judged[0] <= judged[1]


@pytest.mark.parametrize(
    ("found", "metric", "goal", "value", "sentence"),
    [
        (
            figures(top1(20, 5, samples=500, right=495)),
            "top1",
            Goal.MAX_DEGRADATION,
            0.01,
            "top1 fell from 0.990 to 0.960 (by 0.030, 95 % bounds 0.012…0.050, n=500); at most 0.010 is allowed",
        ),
        (
            figures(top1(20, 5, samples=500, right=495)),
            "top1",
            Goal.MAX_DEGRADATION,
            0.02,
            "top1 fell from 0.990 to 0.960 (by 0.030, 95 % bounds 0.012…0.050, n=500); at most 0.020 is allowed;"
            " 500 samples cannot tell; about 1,600 might",
        ),
        (
            figures(),
            "size",
            Goal.PERCENT_MIN_IMPROVEMENT,
            80,
            "size fell from 100,000 to 30,000 bytes (by 70 %); at least 80 % is demanded",
        ),
        (figures(), "latency", Goal.THRESHOLD, 1.4, "latency is 1.50 ms; at most 1.40 ms is allowed"),
        (
            figures(top1(0, 0)),
            "top1",
            Goal.MIN_IMPROVEMENT,
            0.1,
            "top1 stayed at 0.950 (95 % bounds of the improvement -0.0045…0.0045, n=1000); at least 0.100 is demanded",
        ),
        (
            figures(error(0.2, 0.15, 0.01)),
            "error",
            Goal.MAX_DEGRADATION,
            0.01,
            "error fell from 0.200 to 0.150 (by 0.050, 95 % bounds of the loss -0.066…-0.034, n=1000);"
            " at most 0.010 is allowed",
        ),
        (
            figures(error(0.2, 0.2333, 0.002)),
            "error",
            Goal.MAX_DEGRADATION,
            0.03,
            "error rose from 0.200 to 0.233 (by 0.033, 95 % bounds 0.03001…0.037, n=1000); at most 0.030 is allowed",
        ),
        (figures(), "latency", Goal.THRESHOLD, 1.4996, "latency is 1.50 ms; at most 1.4996 ms is allowed"),
        (figures(), "f1", Goal.THRESHOLD, 0.9, "f1 was not measured"),
    ],
)
def test_the_sentence_names_figures_bounds_samples_and_limit(
    found: Figures, metric: str, goal: Goal, value: float, sentence: str
) -> None:
    assert message(found, metric, goal, value) == sentence


def test_each_gate_judges_what_was_measured_where_it_says() -> None:
    early = Gate(metric="top1", goal=Goal.MAX_DEGRADATION, value=0.02)
    late = Gate(metric="top1", goal=Goal.MAX_DEGRADATION, value=0.02, measured_on=MeasuredOn.SERVING_RUNTIME)
    assert measured_on(MeasuredOn.COMPRESSION, (early, late)) == (early,)
    assert measured_on(MeasuredOn.SERVING_RUNTIME, (early, late)) == (late,)
    assert measured_on(MeasuredOn.SERVING_RUNTIME, None) == ()


def test_a_servers_answers_are_judged_by_the_same_bounds_and_its_latency_by_itself() -> None:
    latency = (ServedLatency(batch_size=1, requests=50, p50=4.0, p95=8.0, p99=9.0),)
    served = ServedFigures(samples=1000, metrics=(top1(45, 5),), latency=latency)
    gates = [
        Gate(metric="top1", goal=Goal.MAX_DEGRADATION, value=0.02),
        Gate(metric="latency", goal=Goal.THRESHOLD, value=5.0),
        Gate(metric="latency", goal=Goal.THRESHOLD, value=3.9),
        Gate(metric="another", goal=Goal.THRESHOLD, value=0.5),
    ]
    outcomes = judge_served(served, gates)
    assert [item.outcome for item in outcomes] == ["Fail", "Pass", "Fail", "Inconclusive"]
    (alike,) = judge(LOST_FOUR_PERCENT, gates[:1])
    assert outcomes[0] == alike
    assert outcomes[1].message == "latency is 4.00 ms; at most 5.00 ms is allowed"
