"""Train a graph network on many small graphs and lay out source and data as modelpress reads them.

    python examples/graphs/prepare.py build/graphs

A sample is a graph of 8 to 24 nodes, so samples differ in size: they are written as lists, in jsonl. The network is to
tell rings, trees, grids and small worlds, in each of which up to five edges are wrong.
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

Sample = dict[str, np.ndarray]
SIZES = {"train": 1200, "calibration": 64, "test": 400}


def edges_of(kind: int, nodes: int, random: np.random.Generator) -> set[tuple[int, int]]:
    """Return the edges of a ring, a tree, a grid or a small world."""
    every = range(nodes)
    if kind == 0:
        return {(node, (node + 1) % nodes) for node in every}
    if kind == 1:
        return {(int(random.integers(0, node)), node) for node in range(1, nodes)}
    if kind == 2:
        side = int(np.sqrt(nodes))
        right = {(node, node + 1) for node in range(nodes - 1) if (node + 1) % side}
        return right | {(node, node + side) for node in range(nodes - side)}
    return {(node, (node + step) % nodes) for node in every for step in (1, 2)}


def sample(random: np.random.Generator) -> Sample:
    """Return one graph: x says how many neighbours a node has, in four classes."""
    kind, nodes = int(random.integers(0, 4)), int(random.integers(8, 25))
    wrong = {tuple(random.integers(0, nodes, 2)) for _ in range(5)}
    pairs = {(int(a), int(b)) for a, b in edges_of(kind, nodes, random) | wrong if a != b}
    name = random.permutation(nodes)
    edges = name[np.array(sorted(pairs | {(b, a) for a, b in pairs}), np.int64).T]
    degree = np.bincount(edges[1], minlength=nodes)
    x = np.eye(4, dtype=np.float32)[np.clip(degree - 1, 0, 3)]
    return {
        "x": x,
        "edge_index": edges,
        "graph": np.zeros(nodes, np.int64),
        "size": np.array([nodes]),
        "label": np.array(kind),
    }


def together(samples: list[Sample]) -> list[torch.Tensor]:
    """Return several graphs as one request of the model."""
    sizes = np.array([len(part["x"]) for part in samples])
    starts = np.cumsum(sizes) - sizes
    edges = np.concatenate([part["edge_index"] + start for part, start in zip(samples, starts, strict=True)], 1)
    x = np.concatenate([part["x"] for part in samples])
    return [torch.from_numpy(part) for part in (x, edges, np.repeat(np.arange(len(sizes)), sizes), sizes)]


def main(folder: Path, epochs: int = 40) -> None:
    """Write source and data below `folder`."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    splits = {name: [sample(random) for _ in range(count)] for name, count in SIZES.items()}
    for name, samples in splits.items():
        common.write_lists(folder, name, samples)
    module = build()
    labels = {name: torch.tensor([int(part["label"]) for part in samples]) for name, samples in splits.items()}

    def loss(rows: torch.Tensor) -> torch.Tensor:
        scores = module(*together([splits["train"][row] for row in rows.tolist()]))
        return torch.nn.functional.cross_entropy(scores, labels["train"][rows])

    common.train(module, loss, SIZES["train"], epochs)
    common.write_source(folder, module, Path(__file__).parent)
    with torch.no_grad():
        right = module(*together(splits["test"])).argmax(1) == labels["test"]
    print(f"trained: {right.float().mean():.1%} of {len(right)} held-out graphs right; written to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/graphs"))
