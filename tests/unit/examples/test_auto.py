"""Searches on the digits SimpleNet, against the recipe that was written for it by hand.

What is found is compared on the test data, which no search has seen; latency is each one's own, by that of the original
in alternation, so that a busy machine slows both alike.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.examples.laptop import Outcome, prepare, run, spec_of

from modelpress.api.auto import Auto, AutoObjective
from modelpress.api.spec import CompressedModelSpec
from modelpress.compress.search.front import Point, dominates
from modelpress.compress.search.measuring import loss_bound
from modelpress.store.search import Search


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    prepare("digits", folder)
    return folder


def searching(objective: AutoObjective, trials: int) -> CompressedModelSpec:
    """Return the example's spec with another objective and budget."""
    spec = spec_of("digits", "auto.yaml")
    auto = Auto(objective=objective, max_trials=trials, max_time="30m")
    return spec.model_copy(update={"compression": spec.compression.model_copy(update={"auto": auto})})


def point(outcome: Outcome) -> Point:
    """Return what came of it on the test data."""
    report = outcome.report
    time = 1 / report.latency[0].speedup
    return Point(report.figures.compressed_bytes, loss_bound(report.figures.metrics[0]), time, time)


def found(outcome: Outcome) -> Search:
    assert outcome.report.search is not None
    return outcome.report.search


@pytest.mark.long
def test_what_is_found_is_not_dominated_by_the_recipe_that_was_written_by_hand(prepared: Path, tmp_path: Path) -> None:
    by_hand = point(run(spec_of("digits"), prepared, tmp_path / "hand"))
    outcome = run(searching(AutoObjective.SIZE, 8), prepared, tmp_path / "auto")
    searched, search = point(outcome), found(outcome)
    assert not dominates(by_hand, searched), (by_hand, searched)
    assert searched.bytes < by_hand.bytes
    assert not search.result.failing and search.result.front
    assert "distilled" in search.result.name, "with training data and an objective, pruning is worth its time"
    assert all(gate.outcome == "Pass" for gate in outcome.report.gates), outcome.report.gates


@pytest.mark.long
def test_static_integers_that_are_slower_here_are_tried_and_not_chosen(prepared: Path, tmp_path: Path) -> None:
    outcome = run(searching(AutoObjective.LATENCY, 4), prepared, tmp_path / "auto")
    search = found(outcome)
    static = next(trial for trial in search.trials if trial.name == "INT8 static")
    assert static.speedup_high is not None
    if static.speedup_high >= 1:
        pytest.skip("on this processor 8-bit integers make so small a network no slower")
    assert "INT8 static" not in search.result.name
    assert (search.result.speedup or 0.0) > static.speedup_high
