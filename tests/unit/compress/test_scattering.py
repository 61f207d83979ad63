"""Means and extremes over what falls together are answered by the exported graph as by torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from modelpress.api.source import TensorSpec
from modelpress.compress import graph
from modelpress.compress.export import export
from modelpress.compress.models import ModuleModel
from modelpress.compress.signature import Arrays, Signature

Reduction = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class Neighbours(nn.Module):
    """What reaches each node over edges (2, edges), by any reduction; nodes without any keep their own."""

    def __init__(self, reduction: Reduction) -> None:
        super().__init__()
        self.reduction = reduction
        self.dense = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        """Return [nodes, 4]."""
        y: torch.Tensor = self.dense(x)
        return self.reduction(y, edges[1], y[edges[0]])


def scattered(reduce: str, own: bool) -> Reduction:
    return lambda y, to, sent: y.scatter_reduce(0, to[:, None].expand_as(sent), sent, reduce, include_self=own)


def indexed(reduce: str, own: bool) -> Reduction:
    return lambda y, to, sent: torch.index_reduce(y, 0, to, sent, reduce, include_self=own)


def written(y: torch.Tensor, to: torch.Tensor, sent: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(y).index_reduce_(-2, to, sent, "mean", include_self=False)


def transposed(y: torch.Tensor, to: torch.Tensor, sent: torch.Tensor) -> torch.Tensor:
    places = to.expand(sent.shape[1], -1)
    return torch.scatter_reduce(y.T, dim=1, index=places, src=sent.T, reduce="mean").T


SIGNATURE = Signature(
    (
        TensorSpec(name="x", shape=("nodes", 3)),
        TensorSpec(name="edges", dtype="int64", shape=(2, "edges")),
    ),
    (TensorSpec(name="y"),),
)
EVERY = {
    f"{kind.__name__} {reduce} {own}": kind(reduce, own)
    for kind in (scattered, indexed)
    for reduce in ("mean", "amax", "amin", "prod")
    for own in (True, False)
}


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("reduction", [*EVERY.values(), written, transposed], ids=[*EVERY, "in place", "transposed"])
def test_reductions_over_neighbours_are_answered_as_by_torch(tmp_path: Path, reduction: Reduction) -> None:
    torch.manual_seed(0)
    model = ModuleModel(Neighbours(reduction).eval(), SIGNATURE)
    export(model, tmp_path / "model.onnx", tmp_path, None, seed=0)
    session = graph.open_session(tmp_path / "model.onnx")
    for nodes, edges in ((6, 9), (40, 200), (7, 1)):
        random = np.random.default_rng(nodes)
        inputs: Arrays = {
            "x": random.standard_normal((nodes, 3)).astype(np.float32),
            "edges": random.integers(0, nodes, (2, edges)),
        }
        assert np.allclose(graph.run(session, inputs)["y"], model.run(inputs)["y"], atol=1e-5)
