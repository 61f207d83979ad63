"""Graph convolutions and pooling: classes of whole graphs, any number of them in one request."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn


class GraphConvolution(nn.Module):
    """X W + (A X) V + b: a node's own features, and the sum of its neighbours' (Morris et al. 2019, equation 1)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.own, self.others = nn.Linear(inputs, outputs), nn.Linear(inputs, outputs, bias=False)

    def forward(self, nodes: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        """Turn nodes (nodes, inputs) into (nodes, outputs); edges (2, edges) go from row 0 to row 1."""
        others = self.others(nodes)
        return self.own(nodes).index_add(0, edges[1], others.index_select(0, edges[0]))


class Network(nn.Module):
    """Three convolutions, the mean over the nodes of each graph, two dense layers."""

    def __init__(self, features: int, hidden: int, classes: int) -> None:
        super().__init__()
        sizes = [features, hidden, hidden, hidden]
        self.layers = nn.ModuleList(GraphConvolution(*pair) for pair in pairwise(sizes))
        self.head = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def forward(
        self, x: torch.Tensor, edge_index: torch.Tensor, graph: torch.Tensor, size: torch.Tensor
    ) -> torch.Tensor:
        """Return scores (graphs, classes).

        x (nodes, features) and edge_index (2, edges) hold all graphs, one after the other; graph (nodes,) numbers the
        graph of each node, size (graphs,) counts the nodes of each graph.
        """
        for layer in self.layers:
            x = torch.relu(layer(x, edge_index))
        total = torch.zeros_like(size, dtype=x.dtype)[:, None] + torch.zeros_like(x[:1])
        return self.head(total.index_add(0, graph, x) / size.to(x.dtype)[:, None])


def build(features: int = 4, hidden: int = 64, classes: int = 4) -> nn.Module:
    """Return an untrained network; `source.entrypoint` names this function."""
    return Network(features, hidden, classes)
