"""A whole search on a torch module: what it is trained by fits what it answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.compress import sources

from modelpress.compress.layout import Layout
from modelpress.compress.run import Compression
from modelpress.compress.search.looking import Look
from modelpress.compress.search.trying import Trying
from modelpress.store.search import Search


def search(root: Path, name: str, trials: int) -> Search:
    if not (root / "source").is_dir():
        sources.write_source(root / "source", name)
        sources.write_data(root / "data", name)
    gate = {"metric": "error", "goal": "PercentMaxDegradation", "value": 20}
    task = sources.task(
        name,
        [],
        auto={"objective": "Size", "maxTrials": trials},
        evaluation={"metrics": [{"name": "error", "type": "mse"}], "gates": [gate]},
        datasets={"train": {"uri": "s3://data/train.npz"}},
    )
    where = Layout(**{**vars(sources.layout(root)), "cache": root / "cache"})
    found = Compression(task, where, lambda _progress: None).run().search
    assert found is not None
    return found


def test_a_regression_of_a_single_number_is_pruned_and_trained_by_its_error(tmp_path: Path) -> None:
    found = search(tmp_path, "Wave", trials=4)
    trained = [trial for trial in found.trials if any("distill" in stage for stage in trial.stages)]
    assert {stage["distill"]["match"] for trial in trained for stage in trial.stages if "distill" in stage} == {"MSE"}
    assert any(trial.figures is not None for trial in trained), [trial.failure for trial in trained]


def test_a_search_that_goes_on_trains_as_long_as_before_however_busy_the_machine_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Look, "_epoch_seconds", lambda *_: 40.0)
    first = search(tmp_path, "Wave", trials=3)
    tried = [trial.name for trial in first.trials if any("distill" in stage for stage in trial.stages)]
    assert tried
    monkeypatch.setattr(Look, "_epoch_seconds", lambda *_: 0.1)
    monkeypatch.setattr(Trying, "_carry_out", lambda *_: pytest.fail("it was tried already"))
    again = search(tmp_path, "Wave", trials=3)
    assert [trial.stages for trial in again.trials] == [trial.stages for trial in first.trials]
