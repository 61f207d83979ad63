"""Groups of samples that are alike count as few: bounds keep their confidence for them, and say so by being wider."""

from __future__ import annotations

import math

import numpy
import pytest
from scipy.stats import t
from tests.unit.compress.judge.test_metrics import a_metric

from modelpress.api import gates
from modelpress.api.evaluation import Gate, Goal, MetricType
from modelpress.api.figures import Figures
from modelpress.api.intervals import student
from modelpress.compress.judge.metrics import Scorer
from modelpress.compress.judge.resampling import Units

MARGIN = 0.05
ROUNDS = 400


def groups_of(count: int, size: int) -> numpy.ndarray:
    return numpy.repeat(numpy.arange(count), size)


def alike(count: int, size: int, shares: tuple[float, float], likeness: float, seed: int) -> numpy.ndarray:
    """Return for each sample 1 (lost), -1 (won) or 0; two of one group have the correlation `likeness`."""
    random = numpy.random.default_rng(seed)
    chances = [*shares, 1 - sum(shares)]
    own, common = (random.choice([1, -1, 0], (count, width), p=chances) for width in (size, 1))
    return numpy.where(random.random((count, size)) < math.sqrt(likeness), common, own).reshape(-1)


def passes(change: numpy.ndarray, group: numpy.ndarray | None) -> bool:
    """Return whether accuracy that changed so keeps the margin, as a gate judges it."""
    scorer = Scorer(a_metric("accuracy"), "y")
    labels = numpy.zeros(len(change), int)
    original, result = (numpy.stack([~wrong, wrong], 1).astype(numpy.float32) for wrong in (change < 0, change > 0))
    scorer.add(original, result, labels)
    figures = Figures(original_bytes=2, compressed_bytes=1, metrics=(scorer.figure(0, group),))
    (outcome,) = gates.judge(figures, [Gate(metric="m", goal=Goal.MAX_DEGRADATION, value=MARGIN)])
    return outcome.outcome == "Pass"


@pytest.mark.parametrize(("count", "size"), [(30, 10), (100, 10), (300, 5)])
@pytest.mark.parametrize("likeness", [0.1, 0.9])
@pytest.mark.parametrize("discordance", [MARGIN, 3 * MARGIN])
def test_a_loss_at_the_margin_passes_in_at_most_5_percent_of_test_sets_in_groups(
    count: int, size: int, likeness: float, discordance: float
) -> None:
    shares = (discordance + MARGIN) / 2, (discordance - MARGIN) / 2
    group = groups_of(count, size)
    passed = sum(passes(alike(count, size, shares, likeness, seed), group) for seed in range(ROUNDS))
    assert passed / ROUNDS <= 0.05


@pytest.mark.parametrize(("count", "margin"), [(30, 0.05), (58, 0.05), (90, 0.03), (300, 0.03)])
@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_texts_that_are_rarely_ruined_pass_in_at_most_5_percent_of_test_sets(
    metric: str, count: int, margin: float
) -> None:
    """Each text has twenty labels, all right before; of a few texts none is right afterwards."""
    random = numpy.random.default_rng(0)
    rounds, passed = (ROUNDS if metric == "accuracy" else 80), 0
    for _ in range(rounds):
        ruined = random.random(count) < margin
        labels = random.integers(0, 2, (count, 20))
        scorer = Scorer(a_metric(metric), "y")
        right = numpy.eye(2, dtype=numpy.float32)[labels].transpose(0, 2, 1)
        result = numpy.where(ruined[:, None, None], right[:, ::-1], right)
        scorer.add(right, result, labels)
        figures = Figures(original_bytes=2, compressed_bytes=1, metrics=(scorer.figure(0, None),))
        (outcome,) = gates.judge(figures, [Gate(metric="m", goal=Goal.MAX_DEGRADATION, value=margin)])
        passed += outcome.outcome == "Pass"
    assert passed / rounds <= 0.05 + (0 if metric == "accuracy" else 0.02)  # 80 rounds tell no more


def test_samples_taken_for_independent_pass_far_too_often() -> None:
    changes = [alike(200, 10, (MARGIN * 2, MARGIN), 0.9, seed) for seed in range(200)]
    assert sum(passes(change, None) for change in changes) / 200 > 0.12


def test_a_result_as_good_as_the_original_passes_with_enough_groups() -> None:
    changes = [alike(400, 10, (0.02, 0.02), 0.5, seed) for seed in range(100)]
    assert sum(passes(change, groups_of(400, 10)) for change in changes) / 100 > 0.9


def test_groups_that_never_differ_are_worth_one_sample_each() -> None:
    units = Units.of(60, groups_of(20, 3))
    assert units.design_effect(numpy.zeros(60)) == pytest.approx(3 * 20 / 19)
    assert Units.of(60, None).design_effect(numpy.zeros(60)) is None


def test_samples_in_any_order_and_in_groups_of_any_size_are_drawn_by_group() -> None:
    group = numpy.array([2, 0, 2, 1, 0, 2])
    rows = Units.of(6, group).draw(numpy.random.default_rng(1))
    counts = numpy.bincount(rows, minlength=6)
    for name in range(3):
        assert len(set(counts[group == name])) == 1
    assert Units.of(6, group).number == 3


@pytest.mark.parametrize("kind", ["mse", "f1", "auroc"])
def test_errors_by_groups_are_those_of_their_number(kind: str) -> None:
    """Each sample stands in the data ten times: as groups they say what they say once, as samples they seem surer."""
    random = numpy.random.default_rng(3)
    truth = random.integers(0, 2, 100)
    scores = [random.normal(size=(100, 2)).astype(numpy.float32) + numpy.eye(2)[truth] for _ in range(2)]
    if kind == "mse":
        scores, truth = [score[:, :1] for score in scores], truth[:, None]

    def error(times: int, group: numpy.ndarray | None) -> float:
        scorer = Scorer(a_metric(MetricType(kind)), "y")
        scorer.add(*(numpy.repeat(score, times, 0) for score in scores), numpy.repeat(truth, times, 0))
        found = scorer.figure(0, group).standard_error
        assert found is not None
        return found

    once = error(1, None)
    assert error(10, groups_of(100, 10)) == pytest.approx(once, rel=0.2)
    assert error(10, None) == pytest.approx(once / math.sqrt(10), rel=0.2)


@pytest.mark.parametrize("degrees", [1, 4, 29, 500])
def test_the_quantile_of_t_is_that_of_the_table(degrees: int) -> None:
    assert student(0.95, degrees) == pytest.approx(t.ppf(0.95, degrees), rel=1e-6)


@pytest.mark.parametrize("kind", ["accuracy", "f1", "auroc", "perplexity"])
def test_groups_without_a_label_that_counts_are_no_groups(kind: str) -> None:
    random = numpy.random.default_rng(4)
    labels = random.integers(0, 2, 120)
    scores = [random.normal(size=(120, 2)).astype(numpy.float32) + numpy.eye(2)[labels] for _ in range(2)]
    group = groups_of(40, 3)
    left = (group < 35) & (numpy.arange(120) % 3 > 0)
    all_of_them, those_left = (Scorer(a_metric(kind, ignore_index=-100), "y") for _ in range(2))
    all_of_them.add(*scores, numpy.where(left, labels, -100))
    those_left.add(*(score[left] for score in scores), labels[left])
    found = all_of_them.figure(0, group)
    assert (found.samples, found.groups) == (70, 35)
    assert found == those_left.figure(0, group[left])


def mean_error(values: numpy.ndarray, seed: int) -> float:
    """Return the standard error of the mean of `values`, as the judge takes it."""
    return Units(len(values)).errors(lambda rows: 0.0, lambda rows: float(values[rows].mean()), 200, seed)[0]


def test_a_loss_that_few_samples_make_up_passes_less_often_than_by_its_plain_standard_error() -> None:
    random = numpy.random.default_rng(0)
    passed = {"plain": 0, "ours": 0}
    for seed in range(300):
        losses = numpy.where(random.random(200) < 0.1, random.standard_normal(200) ** 2, 0.0)  # 0.1 in truth
        errors = {"plain": losses.std() / 200**0.5, "ours": mean_error(losses, seed)}
        for name, error in errors.items():
            passed[name] += losses.mean() + 1.645 * error <= 0.1
    assert passed["ours"] < 0.85 * passed["plain"]
    assert passed["ours"] / 300 < 0.12


def test_a_loss_that_all_samples_make_up_has_about_its_plain_standard_error() -> None:
    losses = numpy.random.default_rng(0).standard_normal(400)
    assert mean_error(losses, 0) == pytest.approx(losses.std() / 20, rel=0.15)
