"""What the API server itself refuses, and that its message names the field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.integration.api.specs import SPEC, artifact, model, revision, spec_with
from tests.support.apiserver import ApiServer

NAME = "digits"


def apply(server: ApiServer, manifest: dict[str, Any], *more: str) -> str:
    """Apply `manifest`; return the message of the refusal, or nothing."""
    done = server.kubectl("apply", "-f", "-", *more, stdin=json.dumps(manifest))
    return done.stderr if done.returncode else ""


def test_a_spec_in_order_is_accepted(server: ApiServer) -> None:
    assert apply(server, model(NAME, SPEC), "--dry-run=server") == ""


def test_two_revisions_are_compared_on_test_data_alone(server: ApiServer) -> None:
    spec = spec_with("rollout", {"analysis": {"disagreement": {"max": 0.02, "compare": "Cosine", "atLeast": 0.99}}})
    assert apply(server, model(NAME, spec), "--dry-run=server") == ""
    for strategy in ("BlueGreen", "InPlace", "Recreate"):
        analysis = {"disagreement": {"max": 0.02}, "onInconclusive": "Pause"}
        asked = spec_with("rollout", {"strategy": strategy, "analysis": analysis})
        assert apply(server, model(NAME, asked), "--dry-run=server") == ""
    del spec["evaluation"]
    refusal = apply(server, model(NAME, spec), "--dry-run=server")
    assert "rollout.analysis.disagreement needs evaluation.test" in refusal


OWN = {"name": "top1", "type": "entrypoint", "entrypoint": "metrics:cost", "higherIsBetter": False}


def test_a_metric_of_ones_own_needs_code_that_may_run_and_a_folder_for_it(server: ApiServer) -> None:
    graph = {"uri": "s3://models/digits/", "format": "onnx"}
    spec = {
        "source": graph | {"trustCode": True},
        "compression": {"stages": []},
        "evaluation": SPEC["evaluation"] | {"metrics": [OWN]},
    }
    assert apply(server, model(NAME, spec), "--dry-run=server") == ""
    refusal = apply(server, model(NAME, spec | {"source": graph}), "--dry-run=server")
    assert "a metric of type entrypoint runs code out of the source: set source.trustCode to true" in refusal
    for file in ("model.onnx", "model.pt2"):
        alone = spec["source"] | {"uri": f"s3://models/{file}"}
        refusal = apply(server, model(NAME, spec | {"source": alone}), "--dry-run=server")
        assert "put both into one folder, and name that" in refusal


REFUSED = {
    "unknown field": ("serving.replica", 3, 'unknown field "spec.serving.replica"'),
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
    "torch without entrypoint": (
        "source.entrypoint",
        None,
        "spec.source: Invalid value: format torch needs source.entryp",
    ),
    "torch without trust": ("source.trustCode", None, "set source.trustCode to true"),
    "torch without a shape": ("source.inputs", [{"name": "image"}], "format torch needs source.inputs"),
    "onnx with an entrypoint": ("source.format", "onnx", "only format torch takes source.entrypoint"),
    "transformers without a task": (
        "source",
        {"uri": "s3://models/minilm/", "format": "transformers"},
        "format transformers needs source.task",
    ),
    "torch with a task": ("source.task", "CausalLM", "no other format takes one"),
    "unknown format": ("source.format", "tensorflow", 'spec.source.format: Unsupported value: "tensorflow"'),
    "an address that is none": ("source.uri", "models/digits", "spec.source.uri"),
    "axis of no length": ("source.inputs.0.shape", ["batch", 0], "spec.source.inputs[0].shape[1]"),
    "batch in the middle": (
        "source.inputs.0.shape",
        [1, "batch", 8],
        "spec.source.inputs[0]: Invalid value: the axis batch comes first in shape",
    ),
    "two outputs of one name": (
        "source.outputs",
        [{"name": "logits"}, {"name": "logits"}],
        "each of source.outputs needs a name of its own",
    ),
    "a loss with the wrong sign": (
        "evaluation.gates.0.value",
        -0.02,
        "spec.evaluation.gates[0]: Invalid value: value must not be negative",
    ),
    "size on the serving runtime": (
        "evaluation.gates",
        [{"metric": "size", "goal": "PercentMinImprovement", "value": 50, "measuredOn": "ServingRuntime"}],
        "spec.evaluation.gates[0]: Invalid value: measuredOn: ServingRuntime is for answers",
    ),
    "latency of an original that is not served": (
        "evaluation.gates",
        [{"metric": "latency", "goal": "MaxDegradation", "value": 1, "measuredOn": "ServingRuntime"}],
        "spec.evaluation.gates[0]: Invalid value: measuredOn: ServingRuntime is for answers",
    ),
    "a metric of one's own that is not named": (
        "evaluation.metrics.0",
        {"name": "top1", "type": "entrypoint", "higherIsBetter": False},
        "spec.evaluation.metrics[0]: Invalid value: type entrypoint needs metrics[].entrypoint",
    ),
    "a named function of a type that has none": (
        "evaluation.metrics.0.entrypoint",
        "metrics:cost",
        "spec.evaluation.metrics[0]: Invalid value: type entrypoint needs metrics[].entrypoint",
    ),
    "a metric of one's own without a direction": (
        "evaluation.metrics.0",
        {"name": "top1", "type": "entrypoint", "entrypoint": "metrics:cost"},
        "spec.evaluation.metrics[0]: Invalid value: a metric of type entrypoint needs higherIsBetter",
    ),
    "a metric of one's own on the serving runtime": (
        "evaluation",
        SPEC["evaluation"]
        | {
            "metrics": [OWN],
            "gates": [{"metric": "top1", "goal": "Threshold", "value": 0.5, "measuredOn": "ServingRuntime"}],
        },
        "spec.evaluation: Invalid value: a gate with measuredOn: ServingRuntime cannot judge a metric",
    ),
    "dataset of unknown format": (
        "evaluation.test.uri",
        "s3://data/test.bin",
        "spec.evaluation.test: Invalid value: the ending of uri does not tell the format",
    ),
    "gate on an unknown metric": (
        "evaluation.gates.0.metric",
        "top5",
        "spec.evaluation: Invalid value: a gate's metric must be size, latency or the name of one of evaluation.metri",
    ),
    "two metrics of one name": (
        "evaluation.metrics",
        [{"name": "top1", "type": "accuracy"}, {"name": "top1", "type": "f1"}],
        "each of evaluation.metrics needs a name of its own",
    ),
    "a metric called size": ("evaluation.metrics.0.name", "size", "the metric names size and latency are taken"),
    "metrics without data": ("evaluation.test", None, "evaluation.metrics need evaluation.test"),
    "confidence of 100 %": ("evaluation.gates.0.confidence", 1.0, "spec.evaluation.gates[0].confidence"),
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
    "an interval too short": (
        "update.interval",
        "9s",
        "spec.update: Invalid value: update.interval must be at least 10s",
    ),
    "a duration that is none": ("update.interval", "5 minutes", "spec.update.interval"),
    "steps without a canary": (
        "rollout",
        {"strategy": "BlueGreen", "steps": [{"weight": 10}]},
        "rollout.steps belongs to strategies Canary and Auto",
    ),
    "requests that no step judges": (
        "rollout",
        {"strategy": "InPlace", "analysis": {"maxErrorRate": 0.1, "disagreement": {"max": 0.1}}},
        "of rollout.analysis, only disagreement and onInconclusive belong to other strategies than Canary and Auto",
    ),
    "a deadline too short": ("rollout.progressDeadline", "9s", "rollout.progressDeadline must be at least 10s"),
    "a pause of years": (
        "rollout.steps",
        [{"weight": 10, "pause": "9000h"}],
        "a pause in rollout.steps must be at most 168h",
    ),
    "a weight beyond the half": ("rollout.steps", [{"weight": 51}], "a weight above 50 in rollout.steps needs"),
    "a weight beyond all": ("rollout.steps", [{"weight": 101}], "spec.rollout.steps[0].weight"),
    "a query without bounds": (
        "rollout.analysis",
        {"queries": [{"name": "memory", "query": "x"}]},
        "a query in rollout.analysis needs max or min",
    ),
    "a query with a placeholder that nobody fills": (
        "rollout.analysis",
        {"queries": [{"name": "memory", "query": 'x{pod="{{pod}}"}', "max": 1}]},
        "spec.rollout.analysis.queries[0].query",
    ),
    "two queries of one name": (
        "rollout.analysis",
        {"queries": [{"name": "memory", "query": "x", "max": 1}, {"name": "memory", "query": "y", "min": 1}]},
        'spec.rollout.analysis.queries[1]: Duplicate value: {"name":"memory"}',
    ),
    "an action on nothing": ("rollout.action", {"do": "Promote"}, "spec.rollout.action.revision"),
    "replicas below zero": ("serving.replicas", -1, "spec.serving.replicas"),
    "a quantity that is none": ("serving.resources.requests.memory", "much", "spec.serving.resources.requests.memory"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_with_a_message_that_names_the_field(server: ApiServer, case: str) -> None:
    path, value, message = REFUSED[case]
    refusal = apply(server, model(NAME, spec_with(path, value)), "--dry-run=server")
    refusal = refusal.replace("Invalid value: null: ", "Invalid value: ").replace(
        'Invalid value: "object": ', "Invalid value: "
    )
    assert message in refusal


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


@pytest.mark.parametrize("name", ["a" * 41, "1digits", "digits.v1"])
def test_a_name_that_no_service_can_have_is_refused(server: ApiServer, name: str) -> None:
    assert "metadata.name must be at most 40 characters" in apply(server, model(name, SPEC), "--dry-run=server")


def test_a_name_of_40_characters_is_accepted(server: ApiServer) -> None:
    assert apply(server, model("a" * 40, SPEC), "--dry-run=server") == ""


def test_the_spec_of_an_artifact_cannot_be_changed_not_even_deep_inside(server: ApiServer) -> None:
    assert apply(server, artifact("digits-0000000000")) == ""
    assert apply(server, artifact("digits-0000000000")) == ""
    for change in ({"entrypoint": "other:build"}, {"kwargs": {"width": 64}}):
        assert "spec of a ModelArtifact cannot be changed" in apply(server, artifact("digits-0000000000", **change))


def test_the_spec_of_a_revision_cannot_be_changed_not_even_in_its_pod_template(server: ApiServer) -> None:
    assert apply(server, revision("digits-1111111111", "triton:1")) == ""
    assert "spec of a ModelRevision cannot be changed" in apply(server, revision("digits-1111111111", "triton:2"))
