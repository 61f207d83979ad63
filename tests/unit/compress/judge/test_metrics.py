"""Metrics are those of torchmetrics, paired, whatever batches the samples came in."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch
from torchmetrics.functional import r2_score
from torchmetrics.functional.classification import (
    binary_auroc,
    multiclass_accuracy,
    multiclass_auroc,
    multiclass_f1_score,
)
from torchmetrics.functional.text import perplexity

from modelpress.api.defaults import EffectiveMetric, with_defaults
from modelpress.api.evaluation import Metric, MetricType
from modelpress.api.reasons import Reason
from modelpress.compress.errors import Judged
from modelpress.compress.judge.arguments import check_arguments
from modelpress.compress.judge.classes import align
from modelpress.compress.judge.metrics import Scorer
from modelpress.compress.judge.ranking import against_rest
from modelpress.compress.judge.resampling import UNSEEN

RANDOM = numpy.random.default_rng(11)


def a_metric(metric: str, **args: Any) -> EffectiveMetric:
    return with_defaults(Metric(name="m", type=MetricType(metric), args=args or None))


def scored(metric: EffectiveMetric, original: Any, result: Any, target: Any, batch: int = 3) -> Any:
    scorer = Scorer(metric, "y")
    for start in range(0, len(original), batch):
        rows = slice(start, start + batch)
        scorer.add(original[rows], result[rows], None if target is None else target[rows])
    return scorer.figure(0)


def one_hot(classes: list[int], count: int = 4) -> numpy.ndarray:
    return numpy.eye(count, dtype=numpy.float32)[classes]


def test_accuracy_tells_which_samples_changed() -> None:
    labels = numpy.array([0, 1, 2, 3, 0, 1, 2])
    figure = scored(a_metric("accuracy"), one_hot([0, 1, 2, 3, 1, 1, 2]), one_hot([0, 1, 0, 0, 0, 1, 2]), labels)
    assert (figure.original, figure.compressed) == (6 / 7, 5 / 7)
    assert (figure.pairs.original_only, figure.pairs.compressed_only) == (2, 1)
    assert (figure.samples, figure.higher_is_better, figure.standard_error) == (7, True, None)


def test_accuracy_of_the_best_two() -> None:
    scores = numpy.array([[0.5, 0.4, 0.1], [0.5, 0.1, 0.4]], dtype=numpy.float32)
    figure = scored(a_metric("accuracy", top_k=2), scores, scores, numpy.array([1, 1]))
    assert figure.original == 0.5


def test_accuracy_of_sequences_has_an_error_and_no_pairs() -> None:
    labels = numpy.array([[0, 1], [2, 3], [1, 1]])
    scores = one_hot([0, 1, 2, 3, 1, 0]).reshape(3, 2, 4)
    for layout in (scores, scores.transpose(0, 2, 1)):  # classes last, classes second
        figure = scored(a_metric("accuracy"), layout, layout, labels)
        assert figure.original == pytest.approx(5 / 6)
        assert figure.pairs is None
        assert figure.standard_error == pytest.approx(UNSEEN / 3)  # none of three differs, which proves little
        assert figure.compressed_standard_error >= figure.standard_error


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_one_score_divides_two_classes(shape: tuple[int, ...]) -> None:
    labels = numpy.array([0, 0, 0, 1, 1, 1]).reshape(shape[:1])
    likely = numpy.array([0.1, 0.2, 0.6, 0.7, 0.8, 0.9], dtype=numpy.float32).reshape(shape)
    # in the first batch all logits lie between 0 and 1: only all samples together tell what they are
    logits = numpy.array([0.1, 0.2, -3.0, 7.0, 8.0, 9.0], dtype=numpy.float32).reshape(shape)
    assert scored(a_metric("accuracy"), likely, likely, labels).original == pytest.approx(5 / 6)
    assert scored(a_metric("accuracy"), logits, logits, labels, batch=2).original == pytest.approx(4 / 6)


@pytest.mark.parametrize("top", [1, 2])
def test_labels_of_padding_are_counted_by_no_metric_that_is_told_so(top: int) -> None:
    """Values are those of torchmetrics with the same `ignore_index`."""
    scores = RANDOM.random((40, 9, 5)).astype(numpy.float32)
    labels = RANDOM.integers(0, 5, (40, 9))
    lengths = RANDOM.integers(0, 10, 40)
    labels[numpy.arange(9) >= lengths[:, None]] = -100
    flat = torch.from_numpy(scores.reshape(-1, 5)), torch.from_numpy(labels.reshape(-1))
    given: dict[str, Any] = {"num_classes": 5, "ignore_index": -100}
    accuracy = scored(a_metric("accuracy", ignore_index=-100, top_k=top), scores, scores[::-1].copy(), labels)
    wanted = multiclass_accuracy(*flat, top_k=top, average="micro", **given)
    assert accuracy.original == pytest.approx(float(wanted), abs=1e-6)
    assert accuracy.pairs is None and 0 < accuracy.standard_error < 0.1
    f1 = scored(a_metric("f1", ignore_index=-100), scores, scores, labels)
    assert f1.original == pytest.approx(float(multiclass_f1_score(*flat, average="macro", **given)), abs=1e-6)
    area = scored(a_metric("auroc", ignore_index=-100), scores, scores, labels)
    assert area.original == pytest.approx(float(multiclass_auroc(*flat, **given)), abs=1e-6)


def test_samples_whose_one_label_is_ignored_are_no_samples() -> None:
    labels = numpy.array([0, -100, 2, 3, -100, 1])
    original, result = one_hot([0, 0, 2, 3, 0, 1]), one_hot([0, 1, 2, 0, 1, 0])
    figure = scored(a_metric("accuracy", ignore_index=-100), original, result, labels)
    assert (figure.original, figure.compressed, figure.samples) == (1.0, 0.5, 4)
    assert (figure.pairs.original_only, figure.pairs.compressed_only) == (2, 0)
    with pytest.raises(Judged, match=r"LabelsOutOfRange.*ignore_index: -100"):
        scored(a_metric("accuracy"), original, result, labels)
    with pytest.raises(Judged, match="leaves out every label"):
        scored(a_metric("accuracy", ignore_index=1), original[:2], result[:2], numpy.array([1, 1]))


def test_f1_is_over_all_samples_and_has_a_paired_error() -> None:
    labels = numpy.array([0, 0, 1, 1, 2, 2] * 10)
    predicted = one_hot([0, 1, 1, 1, 2, 0] * 10)
    figure = scored(a_metric("f1"), one_hot([0, 0, 1, 1, 2, 2] * 10), predicted, labels, batch=7)
    assert figure.original == 1.0
    assert figure.compressed == pytest.approx((0.5 + 0.8 + 2 / 3) / 3)
    assert 0 < figure.standard_error < 0.2


def test_errors_and_similarity() -> None:
    truth = numpy.array([[1.0, 0.0], [0.0, 2.0]], dtype=numpy.float32)
    result = numpy.array([[1.0, 1.0], [0.0, 2.0]], dtype=numpy.float32)
    assert scored(a_metric("mse"), truth, result, truth).compressed == pytest.approx(0.25)
    mae = scored(a_metric("mae"), truth, result, truth)
    assert (mae.original, mae.higher_is_better) == (0.0, False)
    cosine = scored(a_metric("cosine"), truth, result, None)
    assert cosine.original == pytest.approx(1.0)
    assert cosine.compressed == pytest.approx((2**-0.5 + 1) / 2)


@pytest.mark.parametrize(("label", "says"), [(4, "label 4"), (-1, "label -1")])
def test_labels_out_of_range_are_refused(label: int, says: str) -> None:
    with pytest.raises(Judged) as caught:
        align(one_hot([0, 1]), numpy.array([0, label]), "logits")
    assert caught.value.reason is Reason.LABELS_OUT_OF_RANGE
    assert says in caught.value.message and "0 to 3" in caught.value.message


def test_labels_that_are_no_whole_numbers_are_refused() -> None:
    with pytest.raises(Judged, match="DatasetDoesNotFit"):
        align(one_hot([0, 1]), numpy.array([0.5, 1.0]), "logits")


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        (a_metric("accuracy", top=3), "no argument 'top'"),
        (a_metric("accuracy", top_k=0), "1 or more"),
        (a_metric("f1", average="weird"), "one of macro"),
        (a_metric("mse", squared=True), "it takes none"),
    ],
)
def test_unusable_arguments_are_refused(metric: EffectiveMetric, says: str) -> None:
    with pytest.raises(Judged, match="EvaluationFailed") as caught:
        check_arguments(metric)
    assert says in caught.value.message


@pytest.mark.parametrize("classes", [2, 4])
def test_auroc_is_torchmetrics(classes: int) -> None:
    scores = RANDOM.integers(0, 12, (300, classes)).astype(numpy.float32) / 16  # with ties
    labels = RANDOM.integers(0, classes, 300)
    figure = scored(a_metric("auroc"), scores, scores[:, ::-1].copy(), labels)
    if classes == 2:
        wanted = binary_auroc(torch.from_numpy(scores[:, 1] - scores[:, 0]).sigmoid(), torch.from_numpy(labels))
    else:
        wanted = multiclass_auroc(torch.from_numpy(scores), torch.from_numpy(labels), num_classes=classes)
    assert figure.original == pytest.approx(float(wanted), abs=1e-6)
    assert figure.higher_is_better and 0 < figure.standard_error < 0.1


@pytest.mark.parametrize(
    ("kind", "ends"),
    [("auroc", (0.0, 1.0)), ("f1", (0.0, 1.0)), ("cosine", (-1.0, 1.0)), ("mse", (0.0, None)), ("r2", (None, 1.0))],
)
def test_figures_tell_where_their_metric_ends(kind: str, ends: tuple[float | None, float | None]) -> None:
    scores = RANDOM.normal(size=(40, 2)).astype(numpy.float32)
    truth = RANDOM.integers(0, 2, 40) if kind in {"auroc", "f1"} else scores
    figure = scored(a_metric(kind), scores, scores, truth)
    assert (figure.least, figure.most) == ends


def test_auroc_of_class_scores_before_softmax_is_that_of_what_softmax_makes_of_them() -> None:
    scores = (RANDOM.normal(size=(300, 4)) * 3).astype(numpy.float32)
    labels = (scores + RANDOM.normal(size=scores.shape) * 3).argmax(axis=1)
    shifted = scores + RANDOM.normal(size=(300, 1)).astype(numpy.float32) * 10  # which changes no probability
    figure = scored(a_metric("auroc"), scores, shifted, labels)
    wanted = multiclass_auroc(torch.from_numpy(scores).double().softmax(1), torch.from_numpy(labels), num_classes=4)
    assert figure.original == pytest.approx(float(wanted), abs=1e-6)
    assert figure.compressed == pytest.approx(figure.original, abs=1e-4)


def test_auroc_tells_scores_apart_that_softmax_rounds_to_one() -> None:
    scores = numpy.array([[900.0, 0, 0], [800.0, 0, 0], [0, 900.0, 0], [0, 0, 900.0]])
    odds = against_rest(scores[:, :, None])[..., 0]
    assert odds[0, 0] > odds[1, 0] and numpy.isfinite(odds).all()
    assert odds[0, 1] == pytest.approx(-900) and odds[0, 0] == pytest.approx(900 - numpy.log(2))


@pytest.mark.parametrize("kind", ["accuracy", "f1", "auroc"])
def test_masks_of_one_channel_are_of_two_classes_whether_or_not_labels_have_the_channel(kind: str) -> None:
    scores = RANDOM.normal(size=(20, 1, 6, 7)).astype(numpy.float32)
    labels = (scores + RANDOM.normal(size=scores.shape) > 0).astype(numpy.int64)
    with_it, without = (scored(a_metric(kind), scores, scores, truth) for truth in (labels, labels[:, 0]))
    assert without == with_it
    if kind == "accuracy":
        assert without.original == pytest.approx(float(((scores > 0) == labels).mean()))


def test_auroc_of_one_class_cannot_be_told() -> None:
    scores = RANDOM.normal(size=(40, 2)).astype(numpy.float32)
    with pytest.raises(Judged, match="each class needs samples") as caught:
        scored(a_metric("auroc"), scores, scores, numpy.zeros(40, int))
    assert caught.value.reason is Reason.EVALUATION_FAILED


@pytest.mark.parametrize("shape", [(80,), (80, 1), (80, 3)])
def test_r2_is_torchmetrics(shape: tuple[int, ...]) -> None:
    truth = RANDOM.normal(size=shape).astype(numpy.float32)
    answers = truth + RANDOM.normal(size=shape).astype(numpy.float32) * 0.3
    figure = scored(a_metric("r2"), answers, truth, truth)
    wanted = r2_score(torch.from_numpy(answers.reshape(80, -1)), torch.from_numpy(truth.reshape(80, -1)))
    assert figure.original == pytest.approx(float(wanted), abs=1e-5)
    assert figure.compressed == 1.0
    assert scored(a_metric("r2"), answers, answers, None).original == 1.0


def test_r2_of_a_truth_that_never_differs_cannot_be_told() -> None:
    answers = RANDOM.normal(size=(40, 2)).astype(numpy.float32)
    with pytest.raises(Judged, match="for r2 the truth must differ") as caught:
        scored(a_metric("r2"), answers, answers + 1, numpy.ones((40, 2)))
    assert caught.value.reason is Reason.EVALUATION_FAILED


@pytest.mark.parametrize("shape", [(40,), (40, 1), (40, 6, 1)])
@pytest.mark.parametrize(("kind", "args"), [("cosine", {}), ("agreement", {"kind": "cosine"})])
def test_cosines_of_single_numbers_are_refused_for_they_are_1_whatever_those_are(
    kind: str, args: dict[str, Any], shape: tuple[int, ...]
) -> None:
    answers = RANDOM.uniform(1, 2, shape).astype(numpy.float32)
    with pytest.raises(Judged, match="output 'y' has a single number") as caught:
        scored(a_metric(kind, **args), answers, answers * 9, None)
    assert caught.value.reason is Reason.EVALUATION_FAILED


def test_perplexity_is_torchmetrics_and_leaves_padding_out() -> None:
    scores = RANDOM.normal(size=(30, 7, 11)).astype(numpy.float32)
    labels = RANDOM.integers(0, 11, (30, 7))
    labels[:, 5:] = -100
    figure = scored(a_metric("perplexity"), scores, scores * 2, labels)
    wanted = perplexity(torch.from_numpy(scores), torch.from_numpy(labels), ignore_index=-100)
    assert figure.original == pytest.approx(float(wanted), rel=1e-5)
    assert not figure.higher_is_better and figure.standard_error > 0
    labels[0, 0] = 11
    with pytest.raises(Judged, match="label 11"):
        scored(a_metric("perplexity"), scores, scores, labels)


@pytest.mark.parametrize(
    ("args", "agreed"),
    [
        ({}, 0.75),
        ({"kind": "exact"}, 0.25),
        ({"kind": "allclose"}, 0.5),
        ({"kind": "cosine"}, 0.75),
        ({"kind": "cosine", "at_least": 0.3}, 1.0),
    ],
)
def test_agreement_is_with_the_original_whatever_the_truth(args: dict[str, Any], agreed: float) -> None:
    original = numpy.array([[1, 0], [1, 0], [1, 0], [1, 0.0]], numpy.float32)
    result = numpy.array([[1, 0], [1.001, 0], [3, 0], [0.5, 1]], numpy.float32)
    figure = scored(a_metric("agreement", **args), original, result, None)
    assert (figure.original, figure.compressed) == (1.0, agreed)
    assert (figure.pairs.original_only, figure.pairs.compressed_only) == (round(4 * (1 - agreed)), 0)


@pytest.mark.parametrize(
    ("kind", "args", "words"),
    [
        ("agreement", {"kind": "roughly"}, "kind must be one of argmax"),
        ("agreement", {"at_least": 2}, "at_least must be"),
        ("agreement", {"kind": "cosine", "at_least": True}, "at_least must be"),
        ("agreement", {"at_least": 0.9}, "kind argmax asks for none: set kind to cosine"),
        ("perplexity", {"ignore_index": "pad"}, "ignore_index must be"),
        ("auroc", {"average": "macro"}, "no argument 'average' is taken by auroc; it takes ignore_index"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(kind: str, args: dict[str, Any], words: str) -> None:
    with pytest.raises(Judged, match=words):
        check_arguments(a_metric(kind, **args))
