"""Train a graph convolutional network on one graph and lay out source and data as modelpress reads them.

    python examples/gcn/prepare.py build/gcn            # a generated graph of 5,000 nodes
    python examples/gcn/prepare.py build/karate karate  # Zachary's karate club, 34 nodes

One graph is one sample: `x`, `edge_index`, and the nodes that are asked about, which are not among those trained on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
import common  # type: ignore[import-not-found]
from model import build  # type: ignore[import-not-found]

Graph = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def generated(nodes: int, classes: int = 5, features: int = 128, seed: int = 0) -> Graph:
    """Return x, edge_index, label of a graph in which two of three edges stay inside a class and x is mostly noise."""
    random = np.random.default_rng(seed)
    label = random.integers(0, classes, nodes)
    order, starts = np.argsort(label, kind="stable"), np.searchsorted(np.sort(label), np.arange(classes + 1))
    source = random.integers(0, nodes, 5 * nodes)
    inside = order[random.integers(starts[label[source]], starts[label[source] + 1])]
    target = np.where(random.random(len(source)) < 0.6, inside, random.integers(0, nodes, len(source)))
    edges = np.unique(np.concatenate([[source, target], [target, source]], 1), axis=1)
    edges = edges[:, edges[0] != edges[1]]
    x = random.standard_normal((nodes, features)) + 0.2 * random.standard_normal((classes, features))[label]
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(edges), torch.from_numpy(label)


def karate() -> Graph:
    """Return Zachary's karate club: 34 people, who knew whom, and their four circles."""
    from torch_geometric.datasets import KarateClub

    graph = KarateClub()[0]
    return graph.x, graph.edge_index, graph.y


def split(label: torch.Tensor, each: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first `each` nodes of every class, which are trained on, and the others."""
    known = torch.cat([torch.nonzero(label == kind)[:each, 0] for kind in label.unique()])
    others = torch.ones(len(label), dtype=torch.bool)
    others[known] = False
    return known, torch.nonzero(others)[:, 0]


def main(folder: Path, graph: str = "generated", epochs: int = 100, nodes: int = 5000) -> None:
    """Write source and data below `folder`."""
    torch.manual_seed(0)
    x, edges, label = karate() if graph == "karate" else generated(nodes)
    known, asked = split(label, 1 if graph == "karate" else 50)
    module = build(x.shape[1], int(label.max()) + 1)

    def loss(_rows: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(module(x, edges, known), label[known])

    common.train(module, loss, 1, epochs, rate=2e-2)
    common.write_source(folder, module, Path(__file__).parent)
    columns = {"x": x, "edge_index": edges, "query": asked, "label": label[asked]}
    common.write_arrays(folder, {"test": {name: value.numpy()[None] for name, value in columns.items()}})
    with torch.no_grad():
        right = module(x, edges, asked).argmax(1) == label[asked]
    print(f"trained: {right.float().mean():.1%} of {len(right)} held-out nodes right; written to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/gcn"), *sys.argv[2:3])
