"""Sums over neighbours in exported graphs: taken where rows are narrow, and the answers stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from modelpress.api.source import TensorSpec
from modelpress.compress import graph
from modelpress.compress.export import distance, export
from modelpress.compress.models import ModuleModel
from modelpress.compress.signature import Signature

NARROW, WIDE, CLASSES = 4, 16, 3
NODES, EDGES = 11, 40
INPUTS = (
    TensorSpec(name="x", shape=("nodes", NARROW)),
    TensorSpec(name="edges", shape=(2, "edges"), dtype="int64"),
)


class Layered(nn.Module):
    """A product that widens, something done to rows, and a layer behind it."""

    def __init__(self, between: Callable[..., torch.Tensor], outputs: int = WIDE) -> None:
        super().__init__()
        self.first = nn.Linear(NARROW, outputs, bias=False)
        self.bias = nn.Parameter(torch.randn(outputs))
        self.second = nn.Linear(outputs, CLASSES)
        self.between = between

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        """x [nodes, features], edges [2, edges] → scores [nodes, classes]."""
        found: torch.Tensor = self.second(torch.relu(self.between(self.first(x), edges) + self.bias))
        return found


def scale(hidden: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    counts = torch.ones_like(hidden[:, 0]).index_add(0, edges[1], torch.ones_like(edges[1], dtype=hidden.dtype))
    return counts.rsqrt()[:, None]


def convolved(hidden: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    scaled = hidden * scale(hidden, edges)
    return scaled.index_add(0, edges[1], scaled.index_select(0, edges[0])) * scale(hidden, edges)


def mean_of_neighbours(hidden: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    counts = torch.zeros_like(hidden[:, 0]).index_add(0, edges[1], torch.ones_like(edges[1], dtype=hidden.dtype))
    sums = torch.zeros_like(hidden).index_add(0, edges[1], hidden[edges[0]])
    return hidden - sums / counts.clamp(min=1)[:, None]


def two_hops(hidden: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    for _ in range(2):
        hidden = hidden.index_add(0, edges[1], hidden.index_select(0, edges[0]))
    return hidden


def biased(hidden: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    return hidden.index_add(0, edges[1], torch.tanh(hidden.index_select(0, edges[0])))


def weighted_by_itself(hidden: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    strength = torch.sigmoid(hidden.sum(1, keepdim=True))
    return torch.zeros_like(hidden).index_add(0, edges[1], (hidden * strength).index_select(0, edges[0]))


def weighted_by_column(hidden: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    weights = torch.arange(1.0, 1 + hidden.shape[1])
    return (hidden * weights).index_add(0, edges[1], hidden.index_select(0, edges[0]))


def from_ones(hidden: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(hidden).index_add(0, edges[1], hidden.index_select(0, edges[0]))


def asked(seed: int) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    nodes, edges = NODES + seed, EDGES + 3 * seed
    return {
        "x": generator.standard_normal((nodes, NARROW)).astype(np.float32),
        "edges": generator.integers(0, nodes, (2, edges)),
    }


def exported(module: nn.Module, folder: Path) -> tuple[ModuleModel, Any]:
    model = ModuleModel(module.eval(), Signature(INPUTS, (TensorSpec(name="scores"),)))
    data = {name: value[None] for name, value in asked(0).items()}
    return model, onnx.load(export(model, folder / "model.onnx", folder, data, 0).path)


def widths_of_sums(model: Any) -> list[int]:
    """Return the columns of what each sum over rows adds."""
    shaped = onnx.shape_inference.infer_shapes(model)
    dims = {item.name: item.type.tensor_type.shape.dim for item in shaped.graph.value_info}
    sums = [node.input[2] for node in shaped.graph.node if node.op_type == "ScatterND"]
    return [dims[name][1].dim_value for name in sums if len(dims[name]) == 2]


@pytest.mark.parametrize(("between", "sums"), [(convolved, 1), (mean_of_neighbours, 1), (two_hops, 2)])
def test_sums_over_neighbours_come_before_the_product_that_widens(
    between: Callable[..., torch.Tensor], sums: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model, proto = exported(Layered(between), tmp_path)
    assert widths_of_sums(proto) == [NARROW] * sums
    session = graph.open_session(tmp_path / "model.onnx")
    for seed in range(4):
        inputs = asked(seed)
        assert distance(model.run(inputs)["scores"], graph.run(session, inputs)["scores"]) < 1e-5


@pytest.mark.parametrize("between", [biased, weighted_by_itself, weighted_by_column, from_ones])
def test_a_product_stays_where_what_follows_is_not_linear_in_rows(
    between: Callable[..., torch.Tensor], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model, proto = exported(Layered(between), tmp_path)
    assert widths_of_sums(proto) == [WIDE]
    session, inputs = graph.open_session(tmp_path / "model.onnx"), asked(1)
    assert distance(model.run(inputs)["scores"], graph.run(session, inputs)["scores"]) < 1e-5


def test_a_product_that_narrows_stays_before_the_sums(tmp_path: Path) -> None:
    torch.manual_seed(0)
    _, proto = exported(Layered(convolved, outputs=2), tmp_path)
    assert widths_of_sums(proto) == [2]
