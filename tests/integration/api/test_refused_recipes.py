"""What the API server refuses of `compression`: stages, their settings, and what they learn from."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.api.refusing import NAME, apply, refusal
from tests.integration.api.specs import SPEC, model
from tests.support.apiserver import ApiServer

REFUSED = {
    "unknown stage": (
        "compression.stages.0",
        {"sparsify": {"epochs": 3}},
        'unknown field "spec.compression.stages[0].sparsify"',
    ),
    "two keys in one stage": (
        "compression.stages.0",
        {"fuse": {}, "finetune": {"epochs": 3}},
        "spec.compression.stages[0]: Invalid value: each stage has exactly one key: prune, cut, factorize, distill,",
    ),
    "no key in a stage": (
        "compression.stages.0",
        {},
        "spec.compression.stages[0]: Invalid value: each stage has exactly",
    ),
    "amount out of range": (
        "compression.stages.0.prune.amount.channels",
        1.5,
        "spec.compression.stages[0].prune.amount.channels",
    ),
    "amount of everything": ("compression.stages.0.prune.amount.channels", 1, "prune.amount.channels"),
    "two amounts": (
        "compression.stages.0.prune.amount.macs",
        0.5,
        "spec.compression.stages[0].prune.amount: Invalid value: amount has exactly one of channels, sparsity",
    ),
    "amount that the structure does not take": (
        "compression.stages.0.prune.amount",
        {"sparsity": 0.5},
        "spec.compression.stages[0].prune: Invalid value: structure Unstructured takes amount.sparsity",
    ),
    "half of the weights and an amount": (
        "compression.stages.0.prune.structure",
        "SemiStructured2x4",
        "structure SemiStructured2x4 is half of the weights",
    ),
    "recovery without steps": ("compression.stages.0.prune.recovery", {"epochs": 2}, "set steps to 2 or more"),
    "cut that keeps and removes": (
        "compression.stages.0",
        {"cut": {"blocks": "layers", "keep": 2, "remove": [0]}},
        "spec.compression.stages[0].cut: Invalid value: cut has exactly one of keep, remove",
    ),
    "factorize with a rank and an error": (
        "compression.stages.0",
        {"factorize": {"rank": 8, "error": 0.1}},
        "spec.compression.stages[0].factorize: Invalid value: factorize has exactly one of rank, parameters, error",
    ),
    "temperature of a cosine": (
        "compression.stages.0",
        {"distill": {"epochs": 1, "match": "Cosine", "temperature": 2}},
        "it goes with match Logits",
    ),
    "augmentation by nothing": ("compression.stages.1.finetune.augment", {}, "augment has at least one of shift"),
    "quantize before the end": ("compression.stages.0", {"quantize": {"preset": "INT8"}}, "as the last stage"),
    "calibration without calibrating": (
        "compression.stages.3.quantize",
        {"preset": "INT8_DYNAMIC", "algorithm": "Entropy"},
        "spec.compression.stages[3].quantize: Invalid value: algorithm MinMax, Entropy and Percentile are for",
    ),
    "a float of 8 bits": (
        "compression.stages.3.quantize",
        {"preset": "FP8_DYNAMIC"},
        "preset FP8_DYNAMIC needs GPUs of compute capability 8.9",
    ),
    "a loss of one's own that is not named": (
        "compression.objective",
        {"loss": "Entrypoint"},
        "spec.compression.objective: Invalid value: loss Entrypoint needs objective.entrypoint",
    ),
    "quantize without a scheme": ("compression.stages.3.quantize", {}, "exactly one of preset, weights, mixed"),
    "a scheme beside a preset": (
        "compression.stages.3.quantize",
        {"preset": "W4A16", "weights": {"bits": 4}},
        "exactly one of preset, weights, mixed",
    ),
    "bits that there are not": (
        "compression.stages.3.quantize",
        {"weights": {"bits": 3}},
        "spec.compression.stages[3].quantize.weights.bits",
    ),
    "two budgets": (
        "compression.stages.3.quantize",
        {"mixed": {"effectiveBits": 5, "maxLoss": 0.01}},
        "mixed has exactly one of effectiveBits, maxLoss",
    ),
    "activations beside a preset": (
        "compression.stages.3.quantize",
        {"preset": "W8A16", "activations": {"bits": 8, "dynamic": True}},
        "activations stand beside weights",
    ),
    "4-bit weights with calibrated activations": (
        "compression.stages.3.quantize",
        {"weights": {"bits": 4}, "activations": {"bits": 8, "dynamic": False}},
        "4-bit weights take 8-bit activations only with dynamic: true",
    ),
    "groups beside integer activations": (
        "compression.stages.3.quantize",
        {"weights": {"bits": 8, "groupSize": 32}, "activations": {"bits": 8, "dynamic": True}},
        "have a scale per output channel",
    ),
    "rounding without groups": (
        "compression.stages.3.quantize",
        {"preset": "INT8", "algorithm": "GPTQ"},
        "algorithm RTN, GPTQ and AWQ are for weights in groups",
    ),
    "overrides without groups": (
        "compression.stages.3.quantize",
        {"preset": "INT8", "overrides": [{"targets": ["x"], "weights": {"bits": 8}}]},
        "overrides are for weights in groups",
    ),
    "granularity of groups": (
        "compression.stages.3.quantize",
        {"preset": "W8A16", "granularity": "Tensor"},
        "granularity is for 8-bit activations",
    ),
    "powers of two at run time": (
        "compression.stages.3.quantize",
        {"preset": "INT8_DYNAMIC", "scales": "PowerOfTwo"},
        "scales PowerOfTwo are neither for dynamic activations",
    ),
    "finetune without data": ("compression.data", None, "a finetune stage needs compression.data.train"),
    "smoothed labels of no classes": (
        "compression",
        {
            "data": {"train": {"uri": "s3://data/train.npz"}},
            "objective": {"loss": "MSE"},
            "stages": [{"finetune": {"epochs": 1, "labelSmoothing": 0.1}}],
        },
        "labelSmoothing needs an objective with loss CrossEntropy or CausalLM",
    ),
    "distill without data": (
        "compression",
        {"stages": [{"distill": {"epochs": 1, "alpha": 1}}]},
        "a distill stage needs",
    ),
    "distill by targets without objective": (
        "compression",
        {"data": {"train": {"uri": "s3://data/train.npz"}}, "stages": [{"distill": {"epochs": 1}}]},
        "distill with alpha below 1 needs compression.objective",
    ),
    "gradients without objective": (
        "compression",
        {"stages": [{"prune": {"structure": "Channel", "importance": "Taylor", "amount": {"bytes": 0.5}}}]},
        "or with importance Taylor or LossChange, needs compression.data.train",
    ),
    "ranked blocks without data": (
        "compression",
        {"stages": [{"cut": {"blocks": "layers", "keep": 2}}]},
        "cut with keep needs compression.data.calibration",
    ),
    "finetune without objective": ("compression.objective", None, "and compression.objective"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_with_a_message_that_names_the_field(server: ApiServer, case: str) -> None:
    path, value, message = REFUSED[case]
    assert message in refusal(server, path, value)


@pytest.mark.parametrize(("ending", "source_format"), [("onnx", "onnx"), ("pt2", "torch-export")])
def test_a_graph_takes_no_stage_for_modules(server: ApiServer, ending: str, source_format: str) -> None:
    spec = {**SPEC, "source": {"uri": f"s3://models/digits.{ending}", "format": source_format}}
    refusal = apply(server, model(NAME, spec), "--dry-run=server")
    assert "prune, cut, factorize, distill and finetune work on a torch module" in refusal
    spec["compression"] = {"stages": [{"fuse": {}}, {"quantize": {"preset": "INT8_DYNAMIC"}}]}
    assert apply(server, model(NAME, spec), "--dry-run=server") == ""


NEEDING_DATA: dict[str, dict[str, Any]] = {
    "calibrated activations": {"weights": {"bits": 8}, "activations": {"bits": 8, "dynamic": False}},
    "mixed": {"mixed": {"effectiveBits": 5.5}, "embeddings": {"bits": 4}, "scales": "PowerOfTwo"},
    "a learning algorithm": {
        "preset": "W4A16",
        "algorithm": "GPTQ",
        "targets": ["re:.*"],
        "overrides": [{"targets": ["head"], "weights": {"bits": 8, "groupSize": 64, "symmetric": False}}],
    },
}


@pytest.mark.parametrize("case", NEEDING_DATA)
def test_quantizing_by_data_is_accepted_with_data_alone(server: ApiServer, case: str) -> None:
    spec = {**SPEC, "source": {"uri": "s3://models/digits.onnx", "format": "onnx"}}
    spec["compression"] = {"stages": [{"quantize": NEEDING_DATA[case]}]}
    refusal = apply(server, model(NAME, spec), "--dry-run=server")
    assert "needs compression.data.calibration or compression.data.train" in refusal
    spec["compression"]["data"] = {"calibration": {"uri": "s3://data/calibration.npz"}}
    assert apply(server, model(NAME, spec), "--dry-run=server") == ""
