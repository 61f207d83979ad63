"""Ladders on a real API server: within the limits on what rules may cost, and refused by the rules of stages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.integration.api.specs import SPEC, model
from tests.support.apiserver import ApiServer

STAGES = SPEC["compression"]["stages"]
MILD = [{"quantize": {"preset": "INT8_DYNAMIC"}}]
LARGEST = [{"finetune": {"epochs": 1}}] * 15 + [
    {
        "quantize": {
            "weights": {"bits": 4},
            "ignore": [f"node.{number}" for number in range(64)],
            "overrides": [{"targets": ["re:.*"] * 64, "weights": {"bits": 8}}] * 32,
        }
    }
]


def refusal(server: ApiServer, *rungs: list[dict[str, Any]], **more: Any) -> str:
    """Apply a ladder of `rungs`; return the message of the refusal, or nothing. `more` replaces parts of the spec."""
    compression = {name: part for name, part in SPEC["compression"].items() if name != "stages"}
    compression |= {"ladder": [{"stages": stages} for stages in rungs]} | more.pop("compression", {})
    compression = {name: part for name, part in compression.items() if part is not None}
    manifest = model("ladder", {**SPEC, "compression": compression, **more})
    done = server.kubectl("apply", "-f", "-", "--dry-run=server", stdin=json.dumps(manifest))
    return done.stderr if done.returncode else ""


def test_a_ladder_in_order_is_accepted(server: ApiServer) -> None:
    assert refusal(server, STAGES, MILD, []) == ""


def test_the_largest_ladder_there_may_be_can_be_judged(server: ApiServer) -> None:
    assert refusal(server, *[LARGEST] * 8) == ""


@pytest.mark.parametrize(
    ("rungs", "more", "message"),
    [
        ([], {}, "spec.compression.ladder"),
        ([MILD] * 9, {}, "spec.compression.ladder: Too many: 9: must have at most 8 items"),
        ([MILD], {"compression": {"stages": MILD}}, "compression has exactly one of stages, ladder, auto"),
        ([MILD], {"compression": {"ladder": None}}, "compression has exactly one of stages, ladder, auto"),
        (
            [MILD, [*MILD, {"fuse": {}}]],
            {},
            "spec.compression.ladder[1]: Invalid value: quantize works on the exported",
        ),
        ([MILD, [{}]], {}, "spec.compression.ladder[1].stages[0]: Invalid value: each stage has exactly one key"),
        ([MILD, STAGES], {"compression": {"data": None}}, "a finetune stage needs compression.data.train"),
        ([MILD, STAGES], {"compression": {"objective": None}}, "and compression.objective"),
        (
            [MILD, [{"distill": {"epochs": 1, "alpha": 1}}]],
            {"compression": {"data": None}},
            "a distill stage needs compression.data.train",
        ),
        (
            [MILD, [{"distill": {"epochs": 1}}]],
            {"compression": {"objective": None}},
            "distill with alpha below 1 needs compression.objective",
        ),
        (
            [MILD, [{"cut": {"blocks": "layers", "keep": 2}}]],
            {"compression": {"data": None}},
            "cut with keep needs compression.data.calibration",
        ),
        (
            [MILD, [{"finetune": {"epochs": 1, "labelSmoothing": 0.1}}]],
            {"compression": {"objective": {"loss": "MSE"}}},
            "labelSmoothing needs an objective",
        ),
        (
            [MILD, [{"prune": {"structure": "Channel", "importance": "Taylor", "amount": {"bytes": 0.5}}}]],
            {"compression": {"objective": None}},
            "or with importance Taylor or LossChange, needs compression.data.train",
        ),
        (
            [MILD, [{"quantize": {"preset": "W4A16", "algorithm": "GPTQ"}}]],
            {"compression": {"data": None}},
            "needs compression.data.calibration or compression.data.train",
        ),
        (
            [MILD, [{"finetune": {"epochs": 1}}]],
            {"source": {"uri": "s3://models/digits.onnx", "format": "onnx"}},
            "prune, cut, factorize, distill and finetune work on a torch module",
        ),
    ],
)
def test_a_rung_obeys_the_rules_of_stages(
    server: ApiServer, rungs: list[list[dict[str, Any]]], more: dict[str, Any], message: str
) -> None:
    told = refusal(server, *rungs, **more)
    for value in ("null: ", '"object": ', '"array": '):
        told = told.replace(f"Invalid value: {value}", "Invalid value: ")
    assert message in told


def test_a_graph_may_have_a_ladder_of_stages_for_graphs(server: ApiServer) -> None:
    source = {"uri": "s3://models/digits.onnx", "format": "onnx"}
    assert refusal(server, MILD, [{"fuse": {}}], source=source) == ""
