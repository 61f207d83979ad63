"""The judge reads text by the tokenizer that the artifact carries, and counts documents where the data names them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.support import tokenizers

from modelpress.api import gates
from modelpress.api.data import Dataset, Text
from modelpress.api.evaluation import Evaluation, Gate, Goal, Metric, MetricType
from modelpress.api.tasks import JudgeTask
from modelpress.compress.errors import Judged
from modelpress.compress.judge.judging import compare
from modelpress.store.report import Report

COLOURS = ("red", "green", "blue")
DOCUMENTS, PASSAGES = 40, 5


def save_colours(folder: Path) -> None:
    """Write a model that counts the names of colours, [batch, sequence] to [batch, colours]."""
    folder.mkdir(parents=True)
    table = numpy.zeros((len(tokenizers.WORDS), len(COLOURS)), numpy.float32)
    for place, colour in enumerate(COLOURS):
        table[tokenizers.WORDS.index(colour), place] = 1
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["each"]),
            helper.make_node("ReduceSum", ["each", "axis"], ["logits"], keepdims=0),
        ],
        "g",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(COLOURS)])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(numpy.array([1]), "axis")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")


def judged(folder: Path, evaluation: Evaluation) -> Report:
    return compare(JudgeTask(evaluation=evaluation), folder / "out", folder / "test")[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An artifact, and test data of which the label of every fifth passage is another."""
    for name in ("original", "compressed"):
        save_colours(tmp_path / "out" / name)
    tokenizers.write(tmp_path / "out" / "assets")
    rows = [
        {
            "body": f"a colour is {COLOURS[number % 3]}",
            "label": (number + (number % PASSAGES == 0)) % 3,
            "document": f"d{number // PASSAGES}",
        }
        for number in range(DOCUMENTS * PASSAGES)
    ]
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def evaluation(**data: str) -> Evaluation:
    test = Dataset(uri="s3://data/test.jsonl", text=Text(column="body"), **data)  # type: ignore[arg-type]
    return Evaluation(test=test, metrics=(Metric(name="top1", type=MetricType.ACCURACY),))


def test_text_is_read_by_the_tokenizer_of_the_artifact(folder: Path) -> None:
    report = judged(folder, evaluation())
    assert (report.figures.metrics[0].original, report.samples) == (0.8, DOCUMENTS * PASSAGES)
    assert report.figures.agreement == 1
    (folder / "out" / "assets" / "tokenizer.json").unlink()
    with pytest.raises(Judged, match=r"brings no tokenizer\.json"):
        judged(folder, evaluation())


def test_passages_of_few_documents_say_less_than_as_many_of_their_own(folder: Path) -> None:
    alone, together = (judged(folder, evaluation(**data)).figures for data in ({}, {"group": "document"}))
    assert (alone.metrics[0].groups, together.metrics[0].groups) == (None, DOCUMENTS)
    assert together.metrics[0].design_effect == pytest.approx(PASSAGES * DOCUMENTS / (DOCUMENTS - 1))
    gate = Gate(metric="top1", goal=Goal.MAX_DEGRADATION, value=0.03)
    outcomes = [gates.judge(figures, [gate])[0] for figures in (alone, together)]
    assert [outcome.outcome for outcome in outcomes] == ["Pass", "Inconclusive"]
    assert "n=200 in 40 groups" in outcomes[1].message and "40 groups cannot tell" in outcomes[1].message
