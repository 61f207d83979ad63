"""A whole search on a torch module: what it is trained by fits what it answers."""

from __future__ import annotations

from pathlib import Path

from tests.unit.compress import sources

from modelpress.compress.layout import Layout
from modelpress.compress.run import Compression
from modelpress.store.search import Search


def search(root: Path, name: str, trials: int) -> Search:
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
