"""The judge measures the files that compression left, and believes nothing else of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
from tests.support.onnx_models import save_linear

from modelpress.api.data import Dataset
from modelpress.api.evaluation import Evaluation, Latency, Metric, MetricType
from modelpress.api.reasons import Reason
from modelpress.api.tasks import JudgeTask
from modelpress.compress.errors import Judged
from modelpress.compress.judge.judging import compare
from modelpress.compress.judge.latency import alternate, median_bounds
from modelpress.compress.judge.models import check_file
from modelpress.store import reference
from modelpress.store.report import Leaks, NearDuplicates, Report

RANDOM = numpy.random.default_rng(0)
WEIGHT = RANDOM.standard_normal((6, 3)).astype(numpy.float32)
IMAGES = RANDOM.standard_normal((70, 6)).astype(numpy.float32)
LABELS = (IMAGES @ WEIGHT).argmax(axis=1)
WORSE = WEIGHT * numpy.array([1, 1, 0.2], numpy.float32)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    save_linear(tmp_path / "out/original", WEIGHT)
    save_linear(tmp_path / "out/compressed", WORSE)
    return tmp_path / "out"


def judged(out: Path, **changes: Any) -> tuple[Report, reference.Reference]:
    """Judge the models below `out` on the test data, which is written beside it."""
    test = out.parent / "test"
    test.mkdir(exist_ok=True)
    numpy.savez(test / "test.npz", image=IMAGES, label=LABELS)
    evaluation = Evaluation(
        test=Dataset(uri="s3://data/test.npz"), metrics=(Metric(name="top1", type=MetricType.ACCURACY),)
    ).model_copy(update=changes)
    return compare(JudgeTask(evaluation=evaluation), out, test)


def refused(out: Path, **changes: Any) -> Judged:
    with pytest.raises(Judged) as caught:
        judged(out, **changes)
    return caught.value


def test_a_report_holds_what_gates_need_and_the_files_that_were_measured(out: Path) -> None:
    report, answers = judged(out, latency=Latency(batch_sizes=(1, 8)))
    right = (IMAGES @ WORSE).argmax(axis=1) == LABELS
    top1 = report.figures.metrics[0]
    assert (top1.original, top1.samples) == (1.0, 70)
    assert top1.compressed == pytest.approx(right.mean())
    assert top1.pairs is not None and top1.pairs.original_only == (~right).sum()
    assert report.figures.agreement == pytest.approx(right.mean())
    assert [figure.batch_size for figure in report.figures.latency] == [1, 8]
    assert report.figures.compressed_bytes == (out / "compressed/model.onnx").stat().st_size
    assert [file.path for file in report.compressed] == ["compressed/model.onnx"]
    assert report.batched and report.outputs[0].shape == (-1, 3)
    assert reference.differences(answers, {"logits": IMAGES[:8] @ WORSE}) is None
    assert reference.differences(answers, {"logits": IMAGES[:8] @ WEIGHT}) is not None


def test_what_fetch_found_leaking_is_passed_on(out: Path) -> None:
    (out.parent / "test").mkdir()
    near = NearDuplicates(role="validation", count=2, of=70, pairs=((4, 9), (6, 1)))
    leaks = Leaks(warnings=("1 of 70 test samples are also in train",), near_duplicates=(near,))
    (out.parent / "test/leaks.json").write_text(leaks.model_dump_json(by_alias=True))
    report, _ = judged(out)
    assert report.warnings[:2] == (
        "1 of 70 test samples are also in train",
        "2 of 70 test samples are nearly the same as one in validation, as number 4 and its 9, 6 and its 1",
    )
    assert report.near_duplicates == (near,)


def test_layers_that_cannot_be_told_are_a_warning_and_no_figure_is_lost(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_files: Path) -> None:
        raise KeyError("scale")

    monkeypatch.setattr("modelpress.compress.judge.judging.compare_layers", fails)
    report, _ = judged(out)
    assert report.layers == ()
    assert "the report shows no layers: KeyError: 'scale'" in report.warnings
    assert report.figures.metrics[0].samples == 70


def test_vectors_that_are_judged_by_their_cosine_are_the_same_where_they_point_the_same_way(out: Path) -> None:
    longer = WEIGHT * 1.3
    save_linear(out / "compressed", longer)
    own = Dataset(uri="s3://data/test.npz", targets={})
    agreements = [
        judged(out, test=own, metrics=(Metric(name="alike", type=kind),))[0].figures.agreement
        for kind in (MetricType.COSINE, MetricType.MSE)
    ]
    assert agreements == [1, None], "amounts have no answer that is the same"


def test_without_test_data_sizes_latency_and_agreement_are_measured(out: Path) -> None:
    report, answers = judged(out, test=None, metrics=())
    assert report.figures.metrics == () and report.samples == 0
    assert len(report.figures.latency) == 1
    assert answers.inputs["image"].shape == (8, 6)


def test_a_model_without_a_batch_axis_is_asked_sample_by_sample(out: Path) -> None:
    save_linear(out / "original", WEIGHT, batch=1)
    save_linear(out / "compressed", WORSE, batch=1)
    report, answers = judged(out, latency=Latency(batch_sizes=(32,)))
    assert report.figures.metrics[0].original == 1.0
    assert not report.batched
    assert [figure.batch_size for figure in report.figures.latency] == [1]
    assert "no batch axis" in report.warnings[0]
    assert answers.inputs["image"].shape == (1, 6)


def test_nodes_of_a_graph_are_no_samples_though_their_number_is_free(out: Path) -> None:
    """[nodes, 6] → [nodes, 3]: a sample is a whole graph with one label for each node."""
    for folder, weight in (("original", WEIGHT), ("compressed", WORSE)):
        save_linear(out / folder, weight, batch="nodes")
    test = out.parent / "test"
    test.mkdir()
    numpy.savez(test / "test.npz", image=IMAGES.reshape(5, 14, 6), label=LABELS.reshape(5, 14))
    evaluation = Evaluation(
        test=Dataset(uri="s3://data/test.npz"),
        metrics=(Metric(name="top1", type=MetricType.ACCURACY),),
        latency=Latency(batch_sizes=(1, 32), threads=1),
    )
    report, answers = compare(JudgeTask(evaluation=evaluation), out, test)
    right = ((IMAGES @ WORSE).argmax(axis=1) == LABELS).reshape(5, 14)
    assert not report.batched and report.samples == 5
    assert report.outputs[0].shape == (-1, 3)
    assert report.figures.metrics[0].compressed == pytest.approx(right.mean())
    assert report.figures.agreement == pytest.approx(right.mean())
    assert [figure.batch_size for figure in report.figures.latency] == [1]
    assert answers.inputs["image"].shape == (14, 6)
    assert reference.differences(answers, {"logits": IMAGES[:14] @ WORSE}) is None


def test_external_data_counts_as_what_must_be_loaded(out: Path) -> None:
    save_linear(out / "compressed", WORSE, external="weights.data")
    (out / "compressed/weights.data").write_bytes(WORSE.tobytes())
    report, _ = judged(out)
    sizes = sum(path.stat().st_size for path in (out / "compressed").iterdir())
    assert report.figures.compressed_bytes == sizes
    assert [file.path for file in report.compressed] == ["compressed/model.onnx", "compressed/weights.data"]


@pytest.mark.parametrize("location", ["../../etc/passwd", "/etc/passwd", "sub/weights", "missing", "link"])
def test_external_data_elsewhere_is_refused(out: Path, location: str) -> None:
    save_linear(out / "compressed", WORSE, external=location)
    (out / "compressed/link").symlink_to("/etc/passwd")
    error = refused(out)
    assert error.reason is Reason.EXPORT_FAILED and location in error.message


def test_a_model_that_is_a_link_is_refused(out: Path) -> None:
    (out / "compressed/model.onnx").unlink()
    (out / "compressed/model.onnx").symlink_to(out / "original/model.onnx")
    assert refused(out).reason is Reason.EXPORT_FAILED


@pytest.mark.parametrize("content", [b"", b"no model at all" * 10, None])
def test_a_model_that_is_none_is_refused(out: Path, content: bytes | None) -> None:
    path = out / "compressed/model.onnx"
    path.unlink() if content is None else path.write_bytes(content)
    assert refused(out).reason is Reason.EXPORT_FAILED


def test_operators_that_no_server_has_are_refused(out: Path) -> None:
    save_linear(out / "compressed", WORSE, operator="Steal", domain="com.tenant")
    with pytest.raises(Judged, match=r"com\.tenant\.Steal"):
        check_file(out / "compressed", "the result")


def test_a_result_with_other_outputs_is_refused(out: Path) -> None:
    path = save_linear(out / "compressed", WORSE)
    path.write_bytes(path.read_bytes().replace(b"logits", b"scores"))
    assert "the result gives scores" in refused(out).message


def test_nan_is_named_with_model_output_and_sample(out: Path) -> None:
    save_linear(out / "compressed", numpy.full((6, 3), numpy.nan))
    error = refused(out)
    assert error.reason is Reason.NOT_FINITE
    assert "the result" in error.message and "'logits'" in error.message


def test_an_original_that_answers_with_nan_is_to_be_looked_at(out: Path) -> None:
    save_linear(out / "original", numpy.full((6, 3), numpy.nan))
    assert "the original answers sample 0 with NaN" in refused(out).message
    assert refused(out).message.endswith("check its weights and that sample")


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (
            numpy.eye(3, dtype=numpy.float32)[LABELS],
            "holds a single 1 among 3 values for each sample: write the number",
        ),
        (numpy.full(70, 0.25), "holds 0.25, which is no number of a class"),
        (numpy.full(70, 3), "has label 3, output 'logits' has classes 0 to 2"),
        (numpy.full(70, -3), "has label -3, output 'logits' has classes 0 to 2"),
    ],
    ids=["one hot", "amounts", "too high", "negative"],
)
def test_labels_that_are_no_numbers_of_classes_are_refused_with_the_way_out(
    out: Path, labels: numpy.ndarray, says: str
) -> None:
    test = out.parent / "test"
    test.mkdir()
    numpy.savez(test / "test.npz", image=IMAGES, label=labels)
    evaluation = Evaluation(
        test=Dataset(uri="s3://data/test.npz"), metrics=(Metric(name="top1", type=MetricType.ACCURACY),)
    )
    with pytest.raises(Judged) as caught:
        compare(JudgeTask(evaluation=evaluation), out, test)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        (Metric(name="m", type=MetricType.ACCURACY, output="probs"), "no output 'probs'; it has logits"),
        (Metric(name="m", type=MetricType.ACCURACY, target="class"), "no column 'class'"),
        (Metric(name="m", type=MetricType.MSE), "test.targets"),
    ],
)
def test_a_metric_that_cannot_be_computed_says_why(out: Path, metric: Metric, says: str) -> None:
    assert says in refused(out, metrics=(metric,)).message


def test_original_and_result_take_turns() -> None:
    calls: list[str] = []
    clock = iter(range(10_000))
    first, second = alternate(lambda: calls.append("A"), lambda: calls.append("B"), lambda: float(next(clock)))
    assert calls[:8] == list("ABBAABBA")
    assert len(first) == len(second) >= 10


def test_bounds_of_a_median_hold_it_as_often_as_they_say() -> None:
    random = numpy.random.default_rng(1)
    missed = 0
    for _ in range(1000):
        low, _, high = median_bounds(random.exponential(size=31))
        missed += not low <= numpy.log(2) <= high
    assert missed <= 60


def test_latency_says_how_sure_it_is(out: Path) -> None:
    report, _ = judged(out, latency=Latency(batch_sizes=(1,), threads=1))
    (detail,) = report.latency
    assert detail.blocks >= 30 and detail.threads == 1
    assert detail.speedup_low <= detail.speedup <= detail.speedup_high
    assert list(detail.original) == sorted(detail.original)
    assert report.figures.latency[0].original_p50 == detail.original[detail.percents.index(50.0)]
