"""Metrics that functions of the source compute: their scores are numbers to the judge, and touch no other figure."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from tests.support.onnx_models import save_linear
from tests.unit.compress.sources import layout

from modelpress.api.evaluation import Evaluation
from modelpress.api.reasons import Reason
from modelpress.api.results import Progress
from modelpress.api.tasks import JudgeTask, ScoreTask
from modelpress.compress.errors import Judged
from modelpress.compress.judge.concluding import concluded
from modelpress.compress.judge.judging import compare
from modelpress.compress.judge.recording import Recorded, read_scores
from modelpress.compress.layout import Layout
from modelpress.compress.scoring import score
from modelpress.store.report import Report

COUNT = 150
RANDOM = numpy.random.default_rng(0)
WEIGHT = RANDOM.standard_normal((6, 3)).astype(numpy.float32)
WORSE = WEIGHT * numpy.array([1, 1, 0.2], numpy.float32)
IMAGES = RANDOM.standard_normal((COUNT, 6)).astype(numpy.float32)
LABELS = (IMAGES @ WEIGHT).argmax(axis=1)
WEIGHING = RANDOM.random(COUNT).astype(numpy.float32)
DOCUMENTS = numpy.arange(COUNT) // 3

CODE = """
import numpy as np

from .parts import chosen


def cost(outputs, targets, price=1.0):
    return price * targets["weighing"] * (chosen(outputs["logits"]) != targets["logits"])


def spoils(outputs, targets):
    outputs["logits"][:] = 0
    targets["logits"][:] = 0
    return np.zeros(len(outputs["logits"]))


def few(outputs, targets):
    return np.zeros(len(outputs["logits"]) - 1)


def mean(outputs, targets):
    return 0.25


def words(outputs, targets):
    return ["good"] * len(outputs["logits"])


def nothing(outputs, targets):
    return None


def undefined(outputs, targets):
    scores = np.zeros(len(outputs["logits"]))
    scores[3] = np.nan if len(scores) < 64 else 0
    return scores


def raises(outputs, targets):
    return targets["text"]


def leaves(outputs, targets):
    raise SystemExit(0)
"""
PARTS = "def chosen(scores):\n    return scores.argmax(axis=1)\n"
TOP1 = {"name": "top1", "type": "accuracy"}
COST = {
    "name": "cost",
    "type": "entrypoint",
    "entrypoint": "metrics:cost",
    "target": "weighing",
    "args": {"price": 2},
    "higherIsBetter": False,
}
GATE = {"metric": "cost", "goal": "MaxDegradation", "value": 0.01}


@pytest.fixture
def where(tmp_path: Path) -> Layout:
    save_linear(tmp_path / "out/original", WEIGHT)
    save_linear(tmp_path / "out/compressed", WORSE)
    (tmp_path / "source").mkdir()
    (tmp_path / "source/metrics.py").write_text(CODE)
    (tmp_path / "source/parts.py").write_text(PARTS)
    (tmp_path / "test").mkdir()
    columns = {"image": IMAGES, "label": LABELS, "weighing": WEIGHING, "document": DOCUMENTS}
    numpy.savez(tmp_path / "test/test.npz", **columns)
    return layout(tmp_path)


def named(function: str) -> dict[str, Any]:
    return {"name": function, "type": "entrypoint", "entrypoint": f"metrics:{function}", "higherIsBetter": True}


def judged(where: Layout, *metrics: dict[str, Any], **more: Any) -> Report:
    """Do what the container judge does."""
    test = {"uri": "s3://data/test.npz", **more}
    evaluation = Evaluation.model_validate({"test": test, "metrics": list(metrics), "gates": [GATE]})
    task = JudgeTask(evaluation=evaluation, seed=3)
    return compare(task, where.out, where.out.parent / "test", answers=where.answers)[0]


def scored(where: Layout, *metrics: dict[str, Any], trusted: bool = True) -> list[Progress]:
    """Do what the container score does."""
    told: list[Progress] = []
    task = ScoreTask.model_validate({"metrics": list(metrics), "trustCode": trusted})
    score(task, where, told.append)
    return told


def all_of_it(where: Layout, *metrics: dict[str, Any], **more: Any) -> Report:
    report = judged(where, *metrics, **more)
    scored(where, *(metric for metric in metrics if metric["type"] == "entrypoint"))
    return concluded(report, where.answers, where.scores)


def costs(weight: Any) -> Any:
    return 2 * WEIGHING * ((IMAGES @ weight).argmax(axis=1) != LABELS)


def test_the_figure_is_the_mean_of_its_scores_paired_by_sample(where: Layout) -> None:
    report = all_of_it(where, COST, TOP1)
    cost, top1 = report.figures.metrics
    before, after = costs(WEIGHT), costs(WORSE)
    assert (cost.name, cost.samples, cost.higher_is_better) == ("cost", COUNT, False)
    assert (cost.original, cost.compressed) == pytest.approx((before.mean(), after.mean()))
    assert cost.standard_error == pytest.approx((after - before).std() / COUNT**0.5, rel=0.2)
    assert cost.compressed_standard_error == pytest.approx(after.std() / COUNT**0.5, rel=0.2)
    assert top1.name == "top1" and top1.pairs is not None
    assert [gate.outcome for gate in report.gates] == ["Fail"], "it is far above what the gate allows"


def test_groups_are_counted_as_in_every_other_metric(where: Layout) -> None:
    cost = all_of_it(where, COST, group="document").figures.metrics[0]
    change = (costs(WORSE) - costs(WEIGHT)).reshape(-1, 3).sum(axis=1)
    assert cost.groups == COUNT // 3
    assert cost.standard_error == pytest.approx(change.std() * len(change) ** 0.5 / COUNT, rel=0.15)


def test_no_other_figure_is_touched(where: Layout) -> None:
    alone = judged(where, TOP1).figures.metrics
    report = all_of_it(where, named("spoils"), COST, TOP1)
    assert report.figures.metrics[2:] == alone
    assert report.figures.metrics[1].compressed == pytest.approx(costs(WORSE).mean()), "nor what another one is given"


def test_the_judge_keeps_what_is_asked_for_and_no_more(where: Layout) -> None:
    judged(where, COST | {"output": "logits"}, TOP1)
    recorded = Recorded(where.answers)
    assert recorded.index.names == {
        "original": ("logits",),
        "compressed": ("logits",),
        "targets": ("logits",),
        "columns": ("weighing",),
    }
    found = numpy.concatenate([batch.compressed["logits"] for batch in recorded.batches()])
    assert found == pytest.approx(IMAGES @ WORSE, rel=1e-4, abs=1e-5)


def test_without_such_a_metric_nothing_is_kept(where: Layout) -> None:
    judged(where, TOP1)
    assert not where.answers.exists()


def test_an_output_that_the_model_has_not_is_named_before_anything_is_asked(where: Layout) -> None:
    with pytest.raises(Judged, match="metric cost: the model has no output 'text'; it has logits"):
        judged(where, COST | {"output": "text"})


def test_how_far_it_is_is_told(where: Layout) -> None:
    judged(where, COST)
    assert [round(item.fraction, 2) for item in scored(where, COST)] == [0.0, 0.43, 0.85, 1.0]


@pytest.mark.parametrize(
    ("function", "reason", "words"),
    [
        ("few", Reason.ENTRYPOINT_FAILED, "few (metrics:few) returned an array of shape [63]: it must return one"),
        ("mean", Reason.ENTRYPOINT_FAILED, "returned one number: it must return one finite number for each of the 64"),
        ("words", Reason.ENTRYPOINT_FAILED, "returned list, no numbers"),
        ("nothing", Reason.ENTRYPOINT_FAILED, "returned NoneType, no numbers"),
        ("undefined", Reason.ENTRYPOINT_FAILED, "returned nan for sample 131"),
        ("raises", Reason.ENTRYPOINT_FAILED, "raises (metrics:raises) failed at metrics.py:40: KeyError: 'text'"),
        ("leaves", Reason.ENTRYPOINT_FAILED, "ended the process with sys.exit(0): it must return"),
        ("missing", Reason.ENTRYPOINT_FAILED, "metrics.py has no function missing, which the entrypoint of metric"),
    ],
)
def test_what_is_wrong_with_a_function_is_said(where: Layout, function: str, reason: Reason, words: str) -> None:
    judged(where, named(function))
    with pytest.raises(Judged) as caught:
        scored(where, named(function))
    assert caught.value.reason is reason
    assert words in caught.value.message
    assert not where.scores.exists()


def test_a_file_that_is_not_there_is_named(where: Layout) -> None:
    judged(where, COST)
    (where.source / "metrics.py").unlink()
    with pytest.raises(Judged, match=r"no metrics\.py, which the entrypoint of metric cost, metrics:cost names"):
        scored(where, COST)


def test_code_that_is_not_trusted_is_not_run(where: Layout) -> None:
    judged(where, COST)
    (where.source / "metrics.py").write_text("raise ZeroDivisionError")
    with pytest.raises(Judged, match=r"set source\.trustCode to true") as caught:
        scored(where, COST, trusted=False)
    assert caught.value.reason is Reason.INVALID_SPEC


def short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def long(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(8))


def infinite(path: Path) -> None:
    numpy.full(2 * COUNT, numpy.inf).tofile(path)


def elsewhere(path: Path) -> None:
    target = path.rename(path.with_name("target"))
    path.symlink_to(target)


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [Path.unlink, short, long, infinite, elsewhere, a_pipe, a_folder])
def test_scores_are_read_as_so_many_numbers_or_not_at_all(where: Layout, spoil: Callable[[Path], Any]) -> None:
    """The source's code writes in its container what it likes."""
    report = judged(where, COST)
    scored(where, COST)
    assert read_scores(where.scores, "cost", COUNT).shape == (2, COUNT)
    spoil(where.scores / "cost")
    with pytest.raises(Judged, match="metric cost: the source's code left") as caught:
        concluded(report, where.answers, where.scores)
    assert caught.value.reason is Reason.ENTRYPOINT_FAILED
