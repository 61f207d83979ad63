"""A whole search on a small graph: every trial real, measured, kept; killed, it goes on; it never sees test data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.onnx_models import save_linear
from tests.support.reports import full_report
from tests.unit.compress.sources import layout

from modelpress.api.tasks import EARLIER_SEARCH, CompressTask
from modelpress.compress.errors import Judged
from modelpress.compress.judge.environment import describe_environment
from modelpress.compress.judge.models import Model
from modelpress.compress.layout import COMPRESSED, Layout
from modelpress.compress.run import Compression
from modelpress.compress.search.measuring import Measuring
from modelpress.compress.search.trying import Trying
from modelpress.compress.signature import Arrays
from modelpress.store.search import Search

WIDTH, CLASSES = 64, 32
WEIGHT = np.random.default_rng(0).standard_normal((WIDTH, CLASSES)).astype(np.float32)


def samples(count: int, seed: int) -> dict[str, Any]:
    images = np.random.default_rng(seed).standard_normal((count, WIDTH)).astype(np.float32)
    return {"image": images, "label": (images @ WEIGHT).argmax(1)}


def laid_out(root: Path, **data: Arrays) -> Layout:
    save_linear(root / "source", WEIGHT)
    for role, columns in data.items():
        (root / "data" / role).mkdir(parents=True)
        np.savez(root / "data" / role / f"{role}.npz", **columns)
    return Layout(**{**vars(layout(root)), "cache": root / "cache"})


def search_task(where: Layout, *gates: dict[str, Any], metrics: bool = True, **auto: Any) -> CompressTask:
    found = [folder.name for folder in sorted(where.data.iterdir())] if where.data.is_dir() else []
    roles = [role for role in found if role != Path(EARLIER_SEARCH).parent.name]
    evaluation = {"metrics": [{"name": "top1", "type": "accuracy"}] if metrics else [], "gates": list(gates)}
    return CompressTask.model_validate(
        {
            "source": {"uri": "s3://models/linear", "format": "onnx"},
            "stages": [],
            "auto": {"objective": "Size", "maxTrials": 4, **auto},
            "evaluation": evaluation,
            "datasets": {role: {"uri": f"s3://data/{role}.npz"} for role in roles},
        }
    )


def search(where: Layout, *gates: dict[str, Any], **more: Any) -> Search:
    found = Compression(search_task(where, *gates, **more), where, lambda _progress: None).run().search
    assert found is not None
    return found


LENIENT = {"metric": "top1", "goal": "MaxDegradation", "value": 0.2}
STRICT = {"metric": "top1", "goal": "MinImprovement", "value": 0.1}


@pytest.fixture
def where(tmp_path: Path) -> Layout:
    return laid_out(tmp_path, calibration=samples(64, 1), validation=samples(300, 2))


def test_every_trial_is_measured_and_the_smallest_that_passes_is_the_result(where: Layout) -> None:
    found = search(where, LENIENT)
    assert [trial.number for trial in found.trials] == [0, 1, 2, 3, 4]
    assert {trial.name for trial in found.trials} >= {"as it came", "INT8 dynamic", "INT8 static", "weights in 8 bits"}
    measured = [trial for trial in found.trials if trial.figures is not None]
    assert len(measured) == 5, [trial.failure for trial in found.trials]
    least = min(trial.figures.compressed_bytes for trial in measured if trial.figures and not trial.failing)
    size = (where.out / COMPRESSED).stat().st_size
    assert found.result.figures is not None
    assert size == found.result.figures.compressed_bytes == least
    assert found.result.front and "the smallest among" in found.why
    assert (found.samples, found.data, found.loss) == (300, "validation data", "top1")
    assert not any("fuse" in stage for trial in found.trials for stage in trial.stages), "there is nothing to fold"
    assert [one.name for one in found.sensitivities] and found.sensitivities[0].loss > 0
    assert all(trial.loss_bound is not None and trial.loss_bound > 0 for trial in measured[1:]), "bounds, not estimates"


COST = {"name": "cost", "type": "entrypoint", "entrypoint": "metrics:cost", "higherIsBetter": False}
CODE = """
def cost(outputs, targets):
    return 3.0 * (outputs["logits"].argmax(1) != targets["logits"])
"""


def by_cost(where: Layout, code: str) -> Search | None:
    """Search by a function of the source alone."""
    (where.source / "metrics.py").write_text(code)
    gate = {"metric": "cost", "goal": "MaxDegradation", "value": 0.6}
    task = search_task(where, gate, maxTrials=1)
    assert task.evaluation is not None
    evaluation = task.evaluation.model_validate({"metrics": [COST], "gates": [gate]})
    trusted = task.source.model_copy(update={"trust_code": True})
    asked = task.model_copy(update={"evaluation": evaluation, "source": trusted})
    return Compression(asked, where, lambda _progress: None).run().search


def test_a_metric_of_the_source_is_what_is_chosen_by(where: Layout) -> None:
    found = by_cost(where, CODE)
    assert found is not None and found.loss == "cost"
    cost = next(trial.figures.metrics[0] for trial in found.trials[1:] if trial.figures is not None)
    assert (cost.name, cost.original, cost.samples) == ("cost", 0.0, 300)
    assert cost.compressed > 0 and cost.standard_error is not None


def test_a_metric_of_the_source_that_fails_ends_the_search_before_anything_is_tried(where: Layout) -> None:
    with pytest.raises(Judged, match=r"metric cost \(metrics:cost\) failed at metrics.py:2: ZeroDivisionError"):
        by_cost(where, "def cost(outputs, targets):\n    return 1 / 0\n")
    assert not list(where.scratch.glob("**/exports"))


def test_a_search_that_was_killed_tries_nothing_twice(where: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    carry_out, measure = Trying._carry_out, Measuring.measure

    def counted(self: Trying, candidate: Any, folder: Path) -> Any:
        tried.append(candidate.name)
        return carry_out(self, candidate, folder)

    def killed(self: Measuring, folder: Path) -> Any:
        if len(tried) == 2:
            raise KeyboardInterrupt
        return measure(self, folder)

    monkeypatch.setattr(Trying, "_carry_out", counted)
    with monkeypatch.context() as patch:
        patch.setattr(Measuring, "measure", killed)
        with pytest.raises(KeyboardInterrupt):
            search(where, LENIENT)
    first = tried.copy()
    found = search(where, LENIENT)
    assert tried == [*first, first[1], *(trial.name for trial in found.trials[3:])]
    search(where, STRICT)
    assert len(tried) == 5, "other gates choose among the trials that are there"


def test_the_original_is_asked_once_for_all_trials(where: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    run = Model.run

    def counted(self: Model, feeds: Any) -> Any:
        if self.label == "the original":
            asked.append(len(feeds["image"]))
        return run(self, feeds)

    monkeypatch.setattr(Model, "run", counted)
    search(where, LENIENT)
    whole = [count for count in asked if count > 1]
    assert sum(whole) == 300 * 3, "once for the baseline, and twice in the place of the result: as it came, as a check"


def report_of(where: Layout, found: Search) -> None:
    """Leave the report of a search where a pod's first container puts that of an earlier one."""
    report = full_report().model_copy(update={"search": found, "environment": describe_environment(1)})
    path = where.data / EARLIER_SEARCH
    path.parent.mkdir(exist_ok=True)
    path.write_text(report.model_dump_json(by_alias=True, exclude_none=True))


@pytest.fixture
def carried_out(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the recipes that were carried out."""
    names: list[str] = []
    carry_out = Trying._carry_out

    def counted(self: Trying, candidate: Any, folder: Path) -> Any:
        names.append(candidate.name)
        return carry_out(self, candidate, folder)

    monkeypatch.setattr(Trying, "_carry_out", counted)
    return names


def elsewhere(root: Path) -> Layout:
    """Return the same source and data in another pod, which knows nothing of the trials before."""
    return laid_out(root, calibration=samples(64, 1), validation=samples(300, 2))


def test_other_gates_choose_among_the_trials_of_an_earlier_search(
    where: Layout, tmp_path: Path, carried_out: list[str]
) -> None:
    bold = {"metric": "top1", "goal": "MaxDegradation", "value": 0.9}
    earlier = search(where, LENIENT)
    smallest = min(earlier.trials, key=lambda trial: trial.figures.compressed_bytes if trial.figures else 10**9)
    carried_out.clear()
    there = elsewhere(tmp_path / "there")
    report_of(there, earlier)
    found = search(there, bold)
    assert carried_out == [smallest.name] == [found.result.name]
    assert [trial.name for trial in found.trials] == [trial.name for trial in earlier.trials]
    assert found.notes[-1] == "Chosen among the 4 trials of a search with other gates; carried out again: 1."
    assert found.result.figures is not None
    assert (there.out / COMPRESSED).stat().st_size == found.result.figures.compressed_bytes
    assert not found.result.failing and found.sensitivities == earlier.sensitivities


@pytest.mark.parametrize("spoilt", ["nothing passes", "another machine", "other metrics", "no report"])
def test_an_earlier_search_that_does_not_suffice_is_no_use(
    where: Layout, tmp_path: Path, carried_out: list[str], spoilt: str
) -> None:
    earlier = search(where, LENIENT, maxTrials=2)
    carried_out.clear()
    there = elsewhere(tmp_path / "there")
    report_of(there, earlier)
    path = there.data / EARLIER_SEARCH
    text = path.read_text()
    if spoilt == "another machine":
        path.write_text(text.replace('"threads":"1"', '"threads":"7"'))
    elif spoilt == "other metrics":
        path.write_text(text.replace('"name":"top1"', '"name":"top5"'))
    elif spoilt == "no report":
        path.write_text("{")
    found = search(there, STRICT if spoilt == "nothing passes" else LENIENT, maxTrials=2)
    assert carried_out == [trial.name for trial in found.trials[1:]]
    assert not any("other gates" in note for note in found.notes)


def test_if_nothing_passes_the_least_bad_is_the_result_and_that_is_said(where: Layout) -> None:
    found = search(where, STRICT, maxTrials=2)
    assert found.why.startswith("None of 2 trials and the model as it came passed the gates")
    assert all("top1" in trial.failing for trial in found.trials[1:])


def test_where_the_data_can_tell_nothing_the_best_promise_is_the_result_and_that_is_said(tmp_path: Path) -> None:
    where = laid_out(tmp_path, calibration=samples(64, 1), validation=samples(40, 2))
    found = search(where, {"metric": "top1", "goal": "MaxDegradation", "value": 0.06})
    assert found.chosen, "not the model as it came, though that loses nothing for certain"
    assert found.result.failing == found.result.undecided == ("top1",)
    assert found.result.chance is not None and 0.5 <= found.result.chance < 0.95
    assert found.why.startswith("No change of 4 trials and the model as it came was sure to pass the gates")
    assert f"{found.result.chance:.0%}".replace("%", " %") in found.why
    assert found.result.loss is not None and found.result.loss <= 0.06


def test_truth_lies_where_the_test_data_has_it(tmp_path: Path) -> None:
    data = samples(300, 2)
    renamed = {"image": data["image"], "truth": data["label"]}
    where = laid_out(tmp_path, calibration={"image": samples(64, 1)["image"]}, validation=renamed)
    asked = search_task(where, LENIENT, maxTrials=1).model_copy(update={"targets": {"logits": "truth"}})
    found = Compression(asked, where, lambda _progress: None).run().search
    assert found is not None and found.loss == "top1", found and found.notes


def test_a_recipe_that_fails_costs_a_trial_and_not_the_search(where: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    carry_out = Trying._carry_out

    def broken(self: Trying, candidate: Any, folder: Path) -> Any:
        if candidate.name == "INT8 dynamic":
            raise RuntimeError("an operator is not supported")
        return carry_out(self, candidate, folder)

    monkeypatch.setattr(Trying, "_carry_out", broken)
    found = search(where, LENIENT, maxTrials=3)
    failed = next(trial for trial in found.trials if trial.name == "INT8 dynamic")
    assert failed.figures is None and "an operator is not supported" in failed.failure
    assert len(found.trials) == 4 and found.chosen != failed.number


def test_when_time_is_over_what_was_found_so_far_is_chosen_from(where: Layout) -> None:
    found = search(where, LENIENT, maxTime="1ms")
    assert (found.chosen, len(found.trials)) == (0, 1)
    assert any(note.startswith("Time was up after 0 of 4 trials") for note in found.notes)
    assert (where.out / COMPRESSED).read_bytes() == (where.out / "original/model.onnx").read_bytes()


def test_without_validation_data_some_is_held_out_and_stages_do_not_see_it(tmp_path: Path) -> None:
    where = laid_out(tmp_path, calibration=samples(100, 1))
    found = search(where, LENIENT, maxTrials=1)
    assert (found.samples, found.data) == (50, "50 % of the calibration data, held out")


def test_samples_that_calibrate_are_not_measured_on(tmp_path: Path) -> None:
    shared = samples(100, 1)
    more = {name: np.concatenate([column, samples(50, 2)[name]]) for name, column in shared.items()}
    assert search(laid_out(tmp_path, calibration=shared, validation=more), maxTrials=1).samples == 50


def test_without_labels_answers_must_be_like_the_original_s(tmp_path: Path) -> None:
    bare = {"image": samples(64, 1)["image"]}
    where = laid_out(tmp_path, calibration=bare, validation={"image": samples(64, 2)["image"]})
    found = search(where, LENIENT, maxTrials=2)
    assert found.loss == "likeness"
    assert any(note.startswith("top1 was not measured in the search: ") for note in found.notes)
    assert any("may lose: the search allowed 1 %" in note for note in found.notes)


def test_without_any_data_random_inputs_must_do_and_nothing_is_calibrated(tmp_path: Path) -> None:
    found = search(laid_out(tmp_path), metrics=False)
    assert "random inputs" in found.data and not found.sensitivities
    assert "INT8 static" not in {trial.name for trial in found.trials}
