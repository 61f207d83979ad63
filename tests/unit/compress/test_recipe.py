"""The order of work: what is decided, and refused, before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from modelpress.api.objective import Objective
from modelpress.api.reasons import Reason
from modelpress.api.source import Source
from modelpress.api.stages import Stage
from modelpress.compress.errors import Judged
from modelpress.compress.models import Medium
from modelpress.compress.recipe import Step, plan

MSE = {"loss": "MSE"}
WORKS_ON = {
    "prune": (Medium.MODULE,),
    "cut": (Medium.MODULE,),
    "factorize": (Medium.MODULE,),
    "distill": (Medium.MODULE,),
    "finetune": (Medium.MODULE,),
    "fuse": (Medium.MODULE, Medium.GRAPH),
    "quantize": (Medium.GRAPH,),
}
PRUNE = {"prune": {"structure": "Channel", "amount": {"channels": 0.5}}}
FINETUNE = {"finetune": {"epochs": 1}}
DISTILL = {"distill": {"epochs": 1}}
ALONE = {"distill": {"epochs": 1, "alpha": 1}}
SMOOTH = {"finetune": {"epochs": 1, "labelSmoothing": 0.1}}
HALF = {"structure": "Channel", "amount": {"channels": 0.5}}
SINGLE = {"structure": "Unstructured", "amount": {"sparsity": 0.5}}
AWARE = {"finetune": {"epochs": 1, "quantizationAware": True}}
FUSE: dict[str, Any] = {"fuse": {}}
ATTENTION = {"fuse": {"attention": True}}


def quantize(**fields: Any) -> dict[str, Any]:
    return {"quantize": fields}


INT8 = quantize(preset="INT8")
DYNAMIC = quantize(preset="INT8_DYNAMIC")
EIGHT: dict[str, Any] = {"bits": 8}
STATIC = {"bits": 8, "dynamic": False}


def planned(
    stages: list[dict[str, Any]],
    *,
    torch: bool = True,
    objective: dict[str, Any] | None = MSE,
    roles: tuple[str, ...] = ("train",),
) -> list[Step]:
    wire: dict[str, Any] = {
        "uri": "s3://models/x",
        "format": "torch" if torch else "onnx",
        "outputs": [{"name": "scores"}],
    }
    return plan(
        Source.model_validate(wire),
        Medium.MODULE if torch else Medium.GRAPH,
        [Stage.model_validate(stage) for stage in stages],
        WORKS_ON,
        None if objective is None else Objective.model_validate(objective),
        roles,
    )


def test_export_stands_before_the_first_stage_that_needs_the_graph() -> None:
    mediums = [step.medium for step in planned([PRUNE, FINETUNE, FUSE, INT8])]
    assert mediums == [Medium.MODULE, Medium.MODULE, Medium.MODULE, Medium.GRAPH]


def test_what_learns_from_the_teacher_alone_needs_no_objective_and_a_named_cut_no_data() -> None:
    assert len(planned([ALONE], objective=None)) == 1
    assert len(planned([{"cut": {"blocks": "layers", "remove": [0]}}], objective=None, roles=())) == 1


def test_fuse_works_on_the_graph_for_onnx() -> None:
    assert planned([FUSE], torch=False)[0].medium is Medium.GRAPH


def test_attention_is_fused_in_the_graph() -> None:
    assert [step.medium for step in planned([FUSE, ATTENTION, INT8])] == [Medium.MODULE, Medium.GRAPH, Medium.GRAPH]


@pytest.mark.parametrize(
    ("stages", "options", "words"),
    [
        ([INT8, PRUNE], {}, "put prune before quantize"),
        ([ATTENTION, PRUNE], {}, "put prune before fuse"),
        ([PRUNE], {"torch": False}, "use source.format torch"),
        ([FINETUNE], {"torch": False}, "use source.format torch"),
        ([INT8, DYNAMIC], {}, "Stages 1 and 2 both quantize"),
        ([DYNAMIC, FUSE], {}, "put fuse before quantize"),
        ([DYNAMIC, FUSE], {"torch": False}, "put fuse before quantize"),
        ([FINETUNE], {"roles": ("calibration",)}, "needs compression.data.train"),
        ([INT8], {"roles": ("validation",)}, "compression.data.calibration or compression.data.train"),
        ([quantize(preset="W4A16", algorithm="GPTQ")], {"roles": ()}, "with algorithm GPTQ needs compression.data"),
        ([quantize(mixed={"effectiveBits": 5})], {"roles": ()}, "with mixed needs compression.data"),
        ([quantize(weights=EIGHT, activations=STATIC)], {"roles": ()}, "activations that are not dynamic needs"),
        ([quantize()], {}, "exactly one of preset, weights, mixed, not none"),
        ([quantize(preset="W4A16", weights={"bits": 4})], {}, "not preset, weights"),
        ([quantize(mixed={})], {}, "exactly one of mixed.effectiveBits, mixed.maxLoss"),
        ([quantize(preset="W8A16", activations=STATIC)], {}, "activations stand beside weights"),
        ([quantize(weights={"bits": 4}, activations=STATIC)], {}, "only with dynamic: true"),
        ([quantize(weights=EIGHT | {"groupSize": 32}, activations=STATIC)], {}, "a scale per output channel"),
        ([quantize(preset="W8A16", algorithm="MinMax")], {}, "MinMax is for activations that are calibrated"),
        ([quantize(preset="INT8_DYNAMIC", algorithm="AWQ")], {}, "AWQ is for weights in groups"),
        ([quantize(preset="INT8", overrides=[{"targets": ["x"], "weights": EIGHT}])], {}, "overrides are for weights"),
        ([quantize(preset="INT8_DYNAMIC", scales="PowerOfTwo")], {}, "neither for dynamic activations"),
        ([quantize(preset="W8A16", granularity="Tensor")], {}, "groups have groupSize"),
        ([PRUNE, {"distill": {"epochs": 1, "student": {}}}], {}, "put this stage first"),
        ([{"distill": {"epochs": 1, "teacher": {"kwargs": {"width": 64}}}}], {}, "in teacher.weights"),
        ([AWARE], {}, "quantizationAware trains for a quantize stage"),
        ([AWARE, quantize(weights={"bits": 4, "symmetric": False})], {}, "leave symmetric: false"),
        ([AWARE, quantize(preset="W4A16", scales="PowerOfTwo")], {}, "scales PowerOfTwo out"),
        ([AWARE, quantize(mixed={"effectiveBits": 5})], {}, "without mixed"),
        ([AWARE, quantize(preset="W4A16", algorithm="GPTQ")], {}, "without algorithm GPTQ"),
        ([quantize(preset="FP8_DYNAMIC")], {}, "needs GPUs of compute capability 8.9"),
        ([FINETUNE], {"objective": {"loss": "MSE", "output": "other"}}, "outputs scores"),
        ([FINETUNE], {"objective": {"loss": "Entrypoint"}}, "needs objective.entrypoint"),
        ([FINETUNE], {"objective": {"loss": "MSE", "entrypoint": "losses:loss"}}, "no other loss takes one"),
        ([FINETUNE], {"objective": {"loss": "Entrypoint", "entrypoint": "losses:loss"}}, "set source.trustCode"),
        ([{"prune": {"structure": "Channel", "amount": {"sparsity": 0.5}}}], {}, "exactly one of bytes, channels"),
        ([{"prune": {"structure": "Unstructured", "amount": {"channels": 0.5}}}], {}, "exactly one of sparsity"),
        ([{"prune": {"structure": "Channel", "amount": {"channels": 0.5, "macs": 0.5}}}], {}, "not channels, macs"),
        ([{"prune": {"structure": "Channel"}}], {}, "not none"),
        ([{"prune": {"structure": "SemiStructured2x4", "amount": {"sparsity": 0.5}}}], {}, "no amount, it is half"),
        ([{"prune": {"structure": "SemiStructured2x4", "scope": "Global"}}], {}, "neither scope nor steps"),
        (
            [{"prune": {**HALF, "importance": "Taylor"}}],
            {"roles": ()},
            "importance Taylor needs compression.data.train",
        ),
        ([{"prune": {**SINGLE, "importance": "LossChange"}}], {}, "use structure Channel"),
        ([{"prune": {**SINGLE, "importance": "Reconstruction"}}], {}, "use structure Channel"),
        ([{"prune": {**SINGLE, "reconstruct": True}}], {}, "use structure Channel"),
        ([{"prune": {**HALF, "reconstruct": True}}], {"roles": ()}, "or reconstruct needs compression.data"),
        ([{"prune": {**HALF, "recovery": {"epochs": 1}}}], {}, "set steps to 2 or more"),
        ([{"prune": {**HALF, "steps": 2, "recovery": {"epochs": 1}}}], {"roles": ()}, "recovery, needs"),
        ([SMOOTH], {}, "CrossEntropy or CausalLM, not MSE"),
        ([DISTILL], {"roles": ("calibration",)}, "(distill) needs compression.data.train"),
        ([DISTILL], {"objective": None}, "with alpha below 1 needs compression.objective"),
        ([DISTILL], {"torch": False}, "use source.format torch"),
        ([DYNAMIC, DISTILL], {}, "put distill before quantize"),
        ([{"cut": {"blocks": "layers", "keep": 2}}], {"roles": ()}, "with keep needs compression.data.calibration"),
    ],
)
def test_impossible_recipes_are_refused_with_the_way_out(
    stages: list[dict[str, Any]], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(Judged) as caught:
        planned(stages, **options)
    assert caught.value.reason is Reason.RECIPE_INVALID
    assert words in caught.value.message
