"""The original is asked once for the same samples; what decides its answers, and nothing else, has it asked again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from tests.support.onnx_models import save_linear

from modelpress.api.data import Dataset
from modelpress.api.evaluation import Evaluation, Latency, Metric, MetricType
from modelpress.api.tasks import JudgeTask
from modelpress.compress.datasets import Samples
from modelpress.compress.judge import baseline, judging
from modelpress.compress.judge.answers import Arrays
from modelpress.compress.judge.baseline import answers_of
from modelpress.compress.judge.models import Model, open_model
from modelpress.store.report import Report

RANDOM = numpy.random.default_rng(0)
WEIGHT = RANDOM.standard_normal((6, 3)).astype(numpy.float32)
IMAGES = RANDOM.standard_normal((130, 6)).astype(numpy.float32)
LABELS = (IMAGES @ WEIGHT).argmax(axis=1)
ACCURACY = Metric(name="top1", type=MetricType.ACCURACY)

Judge = Callable[..., Report]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many samples the original was asked for at once, each time but for those that only take its time."""
    found: list[int] = []
    run = Model.run

    def counted(self: Model, feeds: Arrays) -> Arrays:
        if self.label == "the original":
            found.append(len(feeds["image"]))
        return run(self, feeds)

    def untimed(*arguments: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(Model, "run", run)
            return measure(*arguments)

    measure = judging.measure
    monkeypatch.setattr(Model, "run", counted)
    monkeypatch.setattr(judging, "measure", untimed)
    return found


@pytest.fixture
def judge(tmp_path: Path, asked: list[int]) -> Judge:
    """Judge a result of another weight; the cache stays from one judgement to the next."""

    def work(noise: float = 0.1, images: Any = IMAGES, weight: Any = WEIGHT, **changes: Any) -> Report:
        asked.clear()
        save_linear(tmp_path / "out/original", weight)
        save_linear(tmp_path / "out/compressed", weight + numpy.float32(noise))
        (tmp_path / "test").mkdir(exist_ok=True)
        numpy.savez(tmp_path / "test/test.npz", image=images, label=LABELS[: len(images)])
        evaluation = Evaluation(test=Dataset(uri="s3://data/test.npz"), metrics=(ACCURACY,)).model_copy(update=changes)
        task = JudgeTask(evaluation=evaluation)
        return judging.compare(task, tmp_path / "out", tmp_path / "test", tmp_path / "cache")[0]

    return work


def test_another_recipe_is_compared_with_the_same_answers(judge: Judge, asked: list[int]) -> None:
    first = judge(0.1)
    assert asked == [64, 64, 2]
    again = judge(0.1)
    assert asked == []
    assert again.figures.model_copy(update={"latency": first.figures.latency}) == first.figures
    assert again.latency[0].original != first.latency[0].original, "time is measured side by side, each time"
    judge(0.5)
    assert asked == []


def test_another_metric_is_computed_from_the_answers_that_are_there(judge: Judge, asked: list[int]) -> None:
    judge()
    report = judge(metrics=(Metric(name="f1", type=MetricType.F1), Metric(name="same", type=MetricType.AGREEMENT)))
    assert asked == [] and [metric.name for metric in report.figures.metrics] == ["f1", "same"]


@pytest.mark.parametrize(
    "change",
    [
        {"images": IMAGES[:100]},
        {"images": IMAGES + numpy.float32(1e-6)},
        {"weight": WEIGHT * numpy.float32(2)},
        {"latency": Latency(threads=2)},
        {"test": Dataset(uri="s3://data/test.npz", samples=70)},
    ],
    ids=["fewer samples", "other samples", "another source", "other threads", "some of the samples"],
)
def test_what_decides_the_answers_has_the_original_asked_again(
    judge: Judge, asked: list[int], change: dict[str, Any]
) -> None:
    judge()
    judge(**change)
    assert sum(asked) == {"images": len(change.get("images", IMAGES)), "test": 70}.get(next(iter(change)), 130)
    judge()
    assert asked == [], "and what was kept before is still there"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04rubbish", None])
def test_answers_that_cannot_be_read_are_asked_again(
    tmp_path: Path, judge: Judge, asked: list[int], content: bytes | None
) -> None:
    first = judge()
    kept = next((tmp_path / "cache").glob(f"*/{baseline.ANSWERS}"))
    whole = kept.read_bytes()
    spoilt = whole.replace(whole[200:260], bytes(60)) if content is None else content
    kept.write_bytes(spoilt)
    again = judge()
    assert sum(asked) > 0
    assert again.figures.metrics == first.figures.metrics


def test_answers_beyond_the_limit_are_not_kept(
    tmp_path: Path, judge: Judge, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baseline, "LARGEST", 1000)
    judge()
    assert list((tmp_path / "cache").iterdir()) == []
    judge()
    assert asked == [64, 64, 2]


def test_a_folder_that_cannot_be_written_fails_nothing(tmp_path: Path, judge: Judge, asked: list[int]) -> None:
    (tmp_path / "cache").touch()
    assert judge().figures.metrics[0].original == 1.0
    assert asked == [64, 64, 2]


def test_a_run_that_ends_half_way_leaves_nothing(tmp_path: Path) -> None:
    save_linear(tmp_path / "original", WEIGHT)
    model, samples = open_model(tmp_path, "original", "the original", 1), Samples({"image": IMAGES}, {}, len(IMAGES))
    with pytest.raises(KeyboardInterrupt), answers_of(model, samples, tmp_path / "cache", 64) as answers:
        answers(slice(0, 64))
        raise KeyboardInterrupt
    assert list((tmp_path / "cache").iterdir()) == []


def test_samples_of_different_sizes_are_kept_each_with_its_own(tmp_path: Path) -> None:
    save_linear(tmp_path / "original", WEIGHT, batch="nodes")
    model = open_model(tmp_path, "original", "the original", 1)
    column = numpy.empty(2, object)
    column[0], column[1] = IMAGES[:3], IMAGES[:5]
    samples = Samples({"image": column}, {}, 2)
    for _ in range(2):
        with answers_of(model, samples, tmp_path / "cache", 64) as answers:
            shapes = [answers(slice(row, row + 1))["logits"].shape for row in range(2)]
        assert shapes == [(1, 3, 3), (1, 5, 3)]
    assert len(list((tmp_path / "cache").iterdir())) == 1
