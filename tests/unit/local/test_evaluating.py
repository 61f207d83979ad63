"""What is asked again of an artifact: what was not said stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.reports import full_report

from modelpress.local.asked_error import AskedError
from modelpress.local.evaluating import Question, asked, make_folder


def test_without_a_word_it_is_the_same_question() -> None:
    report = full_report()
    assert asked(report, Question()).to_wire() == report.evaluation


def test_other_test_data_is_judged_by_the_same_gates() -> None:
    found = asked(full_report(), Question(test="s3://other/test.npz", batch_sizes=(4,)))
    assert found.test is not None and found.test.uri == "s3://other/test.npz"
    assert found.latency is not None and found.latency.batch_sizes == (4,)
    assert [gate.metric for gate in found.gates or ()] == ["top1", "size", "top1"]


def test_other_metrics_take_the_gates_of_the_old_ones_away() -> None:
    found = asked(full_report(), Question(metrics=("f1",)))
    assert [metric.name for metric in found.metrics or ()] == ["f1"]
    assert [gate.metric for gate in found.gates or ()] == ["size"]


def test_a_function_of_the_source_is_asked_for_where_it_is() -> None:
    own = {"name": "cost", "type": "entrypoint", "entrypoint": "metrics:cost", "higherIsBetter": False}
    report = full_report()
    before = report.model_copy(update={"evaluation": report.evaluation | {"metrics": [own], "gates": []}})
    with pytest.raises(AskedError, match=r"cost is a function .*\(metrics:cost\).*name its folder with --source"):
        asked(before, Question())
    assert asked(before, Question(source="./model")).to_wire() == before.evaluation
    assert [metric.name for metric in asked(before, Question(metrics=("accuracy",))).metrics or ()] == ["accuracy"]
    with pytest.raises(AskedError, match="--metric entrypoint is not known"):
        asked(before, Question(metrics=("entrypoint",)))


def test_a_metric_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(AskedError, match="accuracy"):
        asked(full_report(), Question(metrics=("acuracy",)))


def test_a_metric_that_is_named_twice_is_refused() -> None:
    with pytest.raises(AskedError, match="accuracy is named twice"):
        asked(full_report(), Question(metrics=("accuracy", "accuracy")))


@pytest.mark.parametrize(
    ("place", "words"), [("file", "cannot be written"), ("/proc/x", "cannot be"), (".", "not empty")]
)
def test_a_folder_for_the_report_that_cannot_be_is_named_before_anything_is_measured(
    tmp_path: Path, place: str, words: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AskedError, match=f"--out .*{words}"):
        make_folder(tmp_path / place)


def test_metrics_of_the_command_line_take_arguments() -> None:
    wanted = ("agreement:kind=cosine,at_least=0.9", "agreement", "accuracy:top_k=5")
    found = asked(full_report(), Question(metrics=wanted)).metrics or ()
    assert [metric.name for metric in found] == ["agreement_cosine_0_9", "agreement", "accuracy_5"]
    assert [metric.args for metric in found] == [{"kind": "cosine", "at_least": 0.9}, None, {"top_k": 5}]
    for text in ("agreement:cosine", "accuracy:=5", "accuracy:top_k=", "accuracy:top_k=]"):
        with pytest.raises(AskedError, match=r"--metric .* is not of the form TYPE:NAME=VALUE"):
            asked(full_report(), Question(metrics=(text,)))


def test_metrics_of_the_command_line_name_their_output_and_the_column_of_the_truth() -> None:
    wanted = ("mse:output=price,target=paid", "accuracy:top_k=5,target=b.2", f"f1:target={'long_' * 10}")
    found = asked(full_report(), Question(metrics=wanted)).metrics or ()
    assert [metric.name for metric in found] == ["mse_price_paid", "accuracy_5_b_2", f"f1_{'long_' * 10}"[:40]]
    assert [(metric.output, metric.target, metric.args) for metric in found] == [
        ("price", "paid", None),
        (None, "b.2", {"top_k": 5}),
        (None, "long_" * 10, None),
    ]
    with pytest.raises(AskedError, match="--metric is not valid: target: String should match"):
        asked(full_report(), Question(metrics=("f1:target=no column!",)))
