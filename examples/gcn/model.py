"""Two graph convolutions (Kipf & Welling 2017, equation 2) over a graph of any size; sparse, by index_add."""

from __future__ import annotations

import torch
from torch import nn


class GraphConvolution(nn.Module):
    """D^-1/2 (A + I) D^-1/2 X W + b, where D counts the edges that come in, and the loop."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, nodes: torch.Tensor, edges: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """Turn nodes (nodes, inputs) into (nodes, outputs); edges (2, edges) go from row 0 to row 1."""
        hidden = self.linear(nodes) * scale
        return hidden.index_add(0, edges[1], hidden.index_select(0, edges[0])) * scale + self.bias


class Network(nn.Module):
    """Classes of nodes."""

    def __init__(self, features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.first, self.second = GraphConvolution(features, hidden), GraphConvolution(hidden, classes)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
        """Return scores (queries, classes) of the nodes that `query` numbers, in a graph of x (nodes, features)."""
        into = torch.ones_like(x[:, 0]).index_add(0, edge_index[1], torch.ones_like(edge_index[1], dtype=x.dtype))
        scale = into.rsqrt()[:, None]
        hidden = self.dropout(torch.relu(self.first(x, edge_index, scale)))
        return self.second(hidden, edge_index, scale).index_select(0, query)


def build(features: int, classes: int, hidden: int = 64) -> nn.Module:
    """Return an untrained network; `source.entrypoint` names this function."""
    return Network(features, hidden, classes)
