"""What an unset field means."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from modelpress.api.compression import Compression, JobSettings
from modelpress.api.data import CompressionData, Dataset, DatasetFormat
from modelpress.api.defaults import EFFECTIVE, calibration_data, input_dtype, with_defaults
from modelpress.api.evaluation import Evaluation, Gate, Goal, Metric, MetricType
from modelpress.api.serving import Batching, Serving
from modelpress.api.source import SourceFormat, TensorSpec
from modelpress.api.stages import Finetune, Prune, PruneAmount, PruneStructure, Stage


def test_what_is_set_stays_and_gaps_are_filled() -> None:
    found = with_defaults(Finetune(epochs=3, batch_size=8))
    assert (found.epochs, found.batch_size, found.learning_rate, found.weight_decay) == (3, 8, 0.001, 0.0001)


def test_parts_are_filled_too() -> None:
    found = with_defaults(Serving(batching=Batching(max_batch_size=4)))
    assert (found.batching.max_batch_size, found.batching.max_queue_delay, found.replicas) == (4, "2ms", 1)
    gates = with_defaults(Evaluation(gates=(Gate(metric="size", goal=Goal.THRESHOLD, value=1),))).gates
    assert gates[0].confidence == 0.95


@pytest.mark.parametrize(
    ("structure", "scope"), [(PruneStructure.CHANNEL, "Layer"), (PruneStructure.UNSTRUCTURED, "Global")]
)
def test_the_scope_of_pruning_follows_from_its_structure(structure: PruneStructure, scope: str) -> None:
    assert with_defaults(Prune(structure=structure, amount=PruneAmount())).scope == scope


@pytest.mark.parametrize(
    ("kind", "higher"),
    [
        (kind, kind not in {MetricType.MSE, MetricType.MAE, MetricType.PERPLEXITY})
        for kind in MetricType
        if kind is not MetricType.ENTRYPOINT  # whose direction must be said
    ],
)
def test_the_direction_of_a_metric_follows_from_its_type(kind: MetricType, higher: bool) -> None:
    assert with_defaults(Metric(name="m", type=kind)).higher_is_better is higher


def test_a_zero_or_false_that_is_set_is_no_gap() -> None:
    assert with_defaults(JobSettings(retries=0)).retries == 0
    assert with_defaults(Metric(name="m", type=MetricType.ACCURACY, higher_is_better=False)).higher_is_better is False


def test_the_format_of_a_dataset_follows_from_its_ending() -> None:
    assert with_defaults(Dataset(uri="s3://data/a.b/test.parquet")).format is DatasetFormat.PARQUET
    assert with_defaults(Dataset(uri="s3://data/test.bin", format=DatasetFormat.NPZ)).format is DatasetFormat.NPZ
    with pytest.raises(ValueError, match="tells none of the formats npz, safetensors, parquet, jsonl"):
        with_defaults(Dataset(uri="s3://data/test.bin"))


def test_training_data_calibrates_where_no_other_is_given() -> None:
    train, own = Dataset(uri="s3://a/train.npz"), Dataset(uri="s3://a/calibration.npz")
    assert calibration_data(CompressionData()) is None
    assert calibration_data(CompressionData(train=train, calibration=own)) == ("calibration", own)
    assert calibration_data(CompressionData(train=train)) == ("train", train.model_copy(update={"samples": 256}))
    few = train.model_copy(update={"samples": 10})
    assert calibration_data(CompressionData(train=few)) == ("train", few)


def test_inputs_of_torch_are_floats_unless_told_otherwise() -> None:
    assert input_dtype(TensorSpec(name="x"), SourceFormat.TORCH) == "float32"
    assert input_dtype(TensorSpec(name="x"), SourceFormat.TRANSFORMERS) == "int64"
    assert input_dtype(TensorSpec(name="x"), SourceFormat.ONNX) is None
    assert input_dtype(TensorSpec(name="x", dtype="int64"), SourceFormat.TORCH) == "int64"


def test_every_default_stands_in_the_description_of_its_field() -> None:
    """`kubectl explain` must not say one thing and the operator do another."""
    wrong = []
    for kind, effective in EFFECTIVE.items():
        for name, field in effective.model_fields.items():
            default = field.default
            plain = isinstance(default, str | int | float) and not isinstance(default, bool)
            if name in kind.model_fields and not kind.model_fields[name].is_required() and plain and default != "":
                described = re.search(
                    r"Default: ([^ ]*[^ .,;])", " ".join((kind.model_fields[name].description or "").split())
                )
                if described is None or described[1] != str(default):
                    wrong.append(f"{kind.__name__}.{name}: {described and described[1]} is not {default}")
    assert not wrong


def test_a_stage_has_exactly_one_key() -> None:
    with pytest.raises(ValidationError, match="exactly one key"):
        Stage()
    assert Stage.model_validate({"fuse": {}}).kind == "fuse"
    assert with_defaults(Compression(stages=())).seed == 0
