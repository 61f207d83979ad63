"""No answer is longer than a termination message may be, and what gates need is always in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelpress.api.figures import DiscordantPairs, Figures, LatencyFigure, MetricFigure
from modelpress.api.reasons import Reason
from modelpress.api.results import MESSAGE_LIMIT, Failure, PublishResult
from modelpress.tasks.messages import cut, encode, round_figures

DIGEST = "listing-sha256:" + "f" * 64
ODD = 0.12345678901234567


def a_result(metrics: int, latencies: int, warnings: tuple[str, ...], *, pairs: bool, name: int = 40) -> PublishResult:
    return PublishResult(
        manifest_digest=DIGEST,
        report_digest=DIGEST,
        figures=Figures(
            original_bytes=10**13,
            compressed_bytes=10**13,
            metrics=tuple(
                MetricFigure(
                    name=f"m{number}".ljust(name, "x"),
                    original=-ODD * 1e-5,
                    compressed=-ODD * 1e-5,
                    higher_is_better=False,
                    samples=10**8,
                    pairs=DiscordantPairs(original_only=10**7, compressed_only=10**7) if pairs else None,
                    standard_error=None if pairs else ODD * 1e-5,
                    compressed_standard_error=None if pairs else ODD * 1e-5,
                )
                for number in range(metrics)
            ),
            latency=tuple(
                LatencyFigure(
                    batch_size=4096, original_p50=ODD, compressed_p50=ODD, original_p99=1000 * ODD, compressed_p99=ODD
                )
                for _ in range(latencies)
            ),
            agreement=ODD,
        ),
        batched=False,
        memory=10**13,
        warnings=warnings,
    )


@pytest.mark.parametrize("pairs", [True, False])
def test_the_longest_spec_still_fits(pairs: bool) -> None:
    answer = a_result(5, 8, ("ü" * 400,) * 30, pairs=pairs)
    text = encode(answer)
    assert len(text.encode()) <= MESSAGE_LIMIT
    found = PublishResult.model_validate_json(text)
    assert (found.manifest_digest, found.report_digest) == (DIGEST, DIGEST)
    assert [metric.name for metric in found.figures.metrics] == [metric.name for metric in answer.figures.metrics]
    assert len(found.figures.latency) >= 1
    assert "30 " in found.warnings[-1]


def test_what_fits_is_sent_whole_with_six_digits() -> None:
    found = json.loads(encode(a_result(1, 2, ("one sentence",), pairs=True, name=4)))
    assert found["warnings"] == ["one sentence"]
    assert found["figures"]["agreement"] == 0.123457
    assert len(found["figures"]["latency"]) == 2


def test_the_first_warnings_are_kept_longest() -> None:
    warnings = tuple(f"{number}: {'word ' * 60}" for number in range(30))
    found = json.loads(encode(a_result(1, 1, warnings, pairs=True)))["warnings"]
    assert 3 < len(found) < 30
    assert found[0].startswith("0: word") and found[0].endswith("…")
    assert found[-1].endswith("more warnings, in the report")


def test_a_long_failure_is_cut_with_an_ellipsis() -> None:
    text = encode(Failure(reason=Reason.ENTRYPOINT_FAILED, message='€"\n' * 5000))
    assert len(text.encode()) <= MESSAGE_LIMIT
    assert Failure.model_validate_json(text).message.endswith("…")


def test_metrics_that_cannot_fit_are_refused_rather_than_left_out() -> None:
    with pytest.raises(ValueError, match="fewer metrics"):
        encode(a_result(12, 1, (), pairs=True))


@pytest.mark.parametrize(("given", "rounded"), [(1 / 3, 0.333333), (float("nan"), None), (123456789.0, 123457000.0)])
def test_figures_are_rounded_to_significant_digits(given: Any, rounded: Any) -> None:
    assert round_figures({"a": [given]}, 6) == {"a": [rounded]}


def test_a_cut_never_splits_a_character() -> None:
    assert cut("ääää", 6) == "ä…"
    assert cut("abc", 3) == "abc"


def test_the_recipe_of_a_search_is_told_unless_figures_need_the_room() -> None:
    roomy = a_result(1, 1, ("a warning",), pairs=True).model_copy(update={"recipe": "INT8 static"})
    assert json.loads(encode(roomy))["recipe"] == "INT8 static"
    crowded = a_result(5, 8, (), pairs=False).model_copy(update={"recipe": "x" * 1000})
    assert "recipe" not in json.loads(encode(crowded))
    assert len(json.loads(encode(crowded))["figures"]["metrics"]) == 5
