"""From source to out folder, on one model of each kind: the first try of whoever brings such a model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from tests.support import tokenizers
from tests.unit.compress.graphs import build, images
from tests.unit.compress.sources import CASES, columns, layout, module, task, write_data, write_source

from modelpress.api.results import Progress
from modelpress.api.source import TensorSpec
from modelpress.api.tasks import CompressTask
from modelpress.compress import graph
from modelpress.compress.assets import carry
from modelpress.compress.errors import Judged
from modelpress.compress.facts import CompressionFacts
from modelpress.compress.run import Compression, Data
from modelpress.compress.signature import Signature

RECIPE: list[dict[str, Any]] = [
    {"prune": {"structure": "Channel", "amount": {"channels": 0.5}}},
    {"finetune": {"epochs": 1}},
    {"fuse": {}},
    {"quantize": {"preset": "INT8"}},
]


LONG = {"Normalized"}
"""Nothing but dense layers and their normalizations, which other models here have too."""


def kinds(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=[pytest.mark.long] if name in LONG else []) for name in names]


@pytest.mark.parametrize("name", kinds(CASES))
def test_the_whole_recipe_works_on_every_kind_of_model(name: str, tmp_path: Path) -> None:
    where = layout(tmp_path)
    write_source(where.source, name)
    write_data(where.data, name)
    told: list[Progress] = []
    facts = Compression(task(name, RECIPE), where, told.append).run()
    case = CASES[name]
    for kind in ("original", "compressed"):
        session = graph.open_session(where.out / kind / "model.onnx")
        for count in (1, 7):
            data = {column: value[:count] for column, value in columns(name).items() if column in case.inputs}
            if not facts.batched:
                data = {column: value[0] for column, value in data.items()}
            answers = graph.run(session, data)
            assert list(answers) == list(case.outputs)
            assert all(len(value) == count for value in answers.values()) or not facts.batched
        assert not onnx.load(where.out / kind / "model.onnx").graph.value_info
    assert [fact.kind for fact in facts.stages] == ["prune", "finetune", "fuse", "quantize"]
    first = facts.stages[0]
    assert (first.before.parameters or 0) > (first.after.parameters or 0)
    assert (first.before.macs or 0) > (first.after.macs or 0)
    last = facts.stages[-1]
    assert last.before.parameters == last.after.parameters, "scales are no parameters"
    written = json.loads((where.out / "compression.json").read_text())
    assert CompressionFacts.model_validate(written) == facts
    assert {item.stage for item in told} >= {"load", "export", "prune", "finetune", "fuse", "quantize"}


@pytest.mark.parametrize("name", kinds(["Digits", "Normalized", "Pair", "Wave"]))
def test_bits_by_sensitivity_work_on_every_kind_of_model(name: str, tmp_path: Path) -> None:
    where = layout(tmp_path)
    write_source(where.source, name)
    write_data(where.data, name)
    stages = [{"quantize": {"mixed": {"effectiveBits": 7}, "algorithm": "GPTQ"}}]
    facts = Compression(task(name, stages), where, lambda _progress: None).run()
    layers = {item.name: item for item in facts.stages[0].layers}
    assert all(item.loss is not None and item.bits <= 9 for item in layers.values())
    assert list(layers) == {
        "Digits": ["classifier.0.Gemm"],
        "Normalized": ["layers.5.Gemm"],  # the normalization that the exporter folded into it
        "Pair": ["value.Gemm", "gate.Gemm"],
    }.get(name, [])
    assert facts.compressed_bytes < facts.original_bytes
    for count in (1, 7):
        data = {column: value[:count] for column, value in columns(name).items() if column in CASES[name].inputs}
        answers = graph.run(graph.open_session(where.out / "compressed" / "model.onnx"), data)
        assert all(len(value) == count for value in answers.values())


def test_the_teacher_is_the_source_as_it_was_before_the_first_stage(tmp_path: Path) -> None:
    where = layout(tmp_path)
    write_source(where.source, "Normalized")
    write_data(where.data, "Normalized")
    stages = [RECIPE[0], {"distill": {"epochs": 2, "alpha": 1}}]
    compression = Compression(task("Normalized", stages), where, lambda _progress: None)
    facts = compression.run()
    assert "distance from the teacher" in " ".join(facts.stages[1].notes)
    teacher = compression.work.teacher
    assert teacher is not None
    untouched = module("Normalized").state_dict()
    assert all(torch.equal(item, untouched[name]) for name, item in teacher.module.state_dict().items())


def test_an_onnx_source_without_stages_is_passed_on(tmp_path: Path) -> None:
    where = layout(tmp_path)
    where.source.mkdir()
    onnx.save(build(), where.source / "model.onnx")
    (where.source / "labels.txt").write_text("one\ntwo\n")
    wire = {"source": {"uri": "s3://models/x", "format": "onnx", "assets": ["labels*"]}, "stages": []}
    facts = Compression(CompressTask.model_validate(wire), where, lambda _progress: None).run()
    files = [(where.out / kind / "model.onnx").read_bytes() for kind in ("original", "compressed")]
    assert files[0] == files[1]
    assert facts.assets == ("labels.txt",)
    assert graph.run(graph.open_session(where.out / "compressed" / "model.onnx"), {"image": images(5)})[
        "scores"
    ].shape == (5, 5)


@pytest.mark.parametrize("pattern", ["../*", "/etc/*", "no such*", "linked*"])
def test_assets_cannot_lead_out_of_the_source(pattern: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "outside.txt").write_text("secret")
    (tmp_path / "source" / "linked.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(Judged):
        carry([pattern], tmp_path / "source", tmp_path / "out")


def test_text_becomes_tokens_by_the_tokenizer_of_the_source(tmp_path: Path) -> None:
    where = layout(tmp_path)
    tokenizers.write(where.source)
    (where.data / "calibration").mkdir(parents=True)
    (where.data / "calibration" / "some.jsonl").write_text('{"body": "red and green"}\n{"body": "blue"}\n')
    dataset = {"uri": "s3://data/some.jsonl", "text": {"column": "body"}}
    data = Data(task("Single", [], datasets={"calibration": dataset}), where.data, where.source)
    shape = ("batch", "sequence")
    data.signature = Signature((TensorSpec(name="input_ids", dtype="int64", shape=shape),), (TensorSpec(name="y"),))
    samples = data("calibration")
    assert samples is not None
    assert samples.inputs["input_ids"].tolist() == [
        tokenizers.numbers("[CLS] red and green [SEP]"),
        tokenizers.numbers("[CLS] blue [SEP] [PAD] [PAD]"),
    ]


@pytest.mark.parametrize(
    "learning",
    [
        {"finetune": {"epochs": 1}},
        {"prune": {"structure": "Channel", "amount": {"channels": 0.5}, "steps": 2, "recovery": {"epochs": 1}}},
    ],
)
def test_a_target_that_is_missing_is_told_before_any_stage(learning: dict[str, Any], tmp_path: Path) -> None:
    where = layout(tmp_path)
    write_source(where.source, "Single")
    write_data(where.data, "Single")
    wire = task("Single", [RECIPE[0], learning]).to_wire()
    for dataset in wire["datasets"].values():
        dataset["targets"] = {}
    told: list[Progress] = []
    with pytest.raises(Judged, match="The train data has no target for output scores"):
        Compression(CompressTask.model_validate(wire), where, told.append).run()
    assert {progress.stage for progress in told} == {"load"}
