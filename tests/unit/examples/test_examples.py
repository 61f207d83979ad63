"""Every example: what prepare.py writes is compressed as its YAML says, judged, and answers at other sizes too.

Training is short here, so that the figures are not those of the READMEs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.examples.laptop import Outcome, load_file, prepare, run, spec_of

from modelpress.api.evaluation import Latency
from modelpress.compress import graph
from modelpress.compress.signature import Arrays

QUICK: dict[str, dict[str, Any]] = {
    "lenet": {"epochs": 2},
    "residual": {"epochs": 1},
    "gcn": {"epochs": 10, "nodes": 500},
    "graphs": {"epochs": 1},
    "textclassifier": {"epochs": 1, "samples": 500},
    "tinylm": {"epochs": 1, "samples": 640},
    "recommender": {"epochs": 1, "samples": 5000},
}
LONG = {"residual", "tinylm", "textclassifier", "lenet"}
"""Those that train for more than a few seconds."""


def compressed(example: str, root: Path) -> Outcome:
    """Run the example with at most one epoch of fine-tuning; latency is that of one sample."""
    torch.manual_seed(0)
    prepare(example, root / "prepared", **QUICK[example])
    spec = spec_of(example)
    stages = [
        stage.model_copy(update={"finetune": stage.finetune.model_copy(update={"epochs": 1})})
        if stage.finetune is not None
        else stage
        for stage in spec.compression.stages
    ]
    compression = spec.compression.model_copy(update={"stages": tuple(stages)})
    assert spec.evaluation is not None
    evaluation = spec.evaluation.model_copy(update={"latency": Latency(batch_sizes=(1,), threads=1)})
    changed = spec.model_copy(update={"compression": compression, "evaluation": evaluation})
    return run(changed, root / "prepared", root / "work")


def answers(outcome: Outcome, inputs: Arrays) -> Any:
    """Return the first output."""
    return next(iter(graph.run(graph.open_session(outcome.out / "compressed" / "model.onnx"), inputs).values()))


@pytest.mark.parametrize(
    "example", [pytest.param(name, marks=[pytest.mark.long] if name in LONG else []) for name in QUICK]
)
def test_an_example_is_compressed_and_answers_at_other_sizes(example: str, tmp_path: Path) -> None:
    outcome = compressed(example, tmp_path)
    figures = outcome.report.figures
    assert figures.compressed_bytes < 0.75 * figures.original_bytes
    assert [fact.kind for fact in outcome.facts.stages] == [stage.kind for stage in outcome.spec.compression.stages]
    random = np.random.default_rng(0)
    if example in {"lenet", "residual"}:
        assert answers(outcome, {"image": random.random((3, 1, 8, 8), np.float32)}).shape == (3, 10)
    elif example == "gcn":
        inputs = {
            "x": random.random((9, 128), np.float32),
            "edge_index": random.integers(0, 9, (2, 17)),
            "query": np.array([8, 0]),
        }
        assert answers(outcome, inputs).shape == (2, 5)
    elif example == "graphs":
        assert answers(outcome, two_graphs(random)).shape == (2, 4)
    elif example == "textclassifier":
        assert answers(outcome, {"words": random.integers(1, 90, (2, 5))}).shape == (2, 7)
    elif example == "recommender":
        inputs = {
            "user": np.array([0, 3999, 7]),
            "item": np.array([1, 1999, 7]),
            "history": random.integers(0, 2000, (3, 5)),
            "numbers": random.random((3, 4), np.float32),
        }
        assert answers(outcome, inputs).shape == (3, 2)
        assert figures.compressed_bytes < 0.2 * figures.original_bytes
    else:
        assert answers(outcome, {"input_ids": random.integers(1, 90, (2, 5))}).shape == (2, 5, 128)


def two_graphs(random: np.random.Generator) -> Arrays:
    return {
        "x": random.random((7, 4), np.float32),
        "edge_index": np.array([[0, 1, 3, 4, 5], [1, 2, 4, 5, 6]]),
        "graph": np.array([0, 0, 0, 1, 1, 1, 1]),
        "size": np.array([3, 4]),
    }


def test_graphs_asked_together_answer_as_each_alone() -> None:
    module = load_file("graphs", "model.py").build()
    both = {name: torch.from_numpy(value) for name, value in two_graphs(np.random.default_rng(0)).items()}
    with torch.no_grad():
        together = module(*both.values())
        first = module(both["x"][:3], both["edge_index"][:, :2], both["graph"][:3], both["size"][:1])
        second = module(both["x"][3:], both["edge_index"][:, 2:] - 3, both["graph"][3:] - 1, both["size"][1:])
    torch.testing.assert_close(together, torch.cat([first, second]))


def test_the_graph_convolution_is_pytorch_geometrics() -> None:
    from torch_geometric.datasets import KarateClub
    from torch_geometric.nn import GCNConv

    club = KarateClub()[0]
    module = load_file("gcn", "model.py").build(club.x.shape[1], 4, hidden=8).eval()
    layers = [GCNConv(club.x.shape[1], 8), GCNConv(8, 4)]
    for layer, own in zip(layers, (module.first, module.second), strict=True):
        torch.nn.init.uniform_(own.bias)
        layer.lin.weight.data, layer.bias.data = own.linear.weight.data, own.bias.data
    everybody = torch.arange(len(club.x))
    with torch.no_grad():
        hidden = layers[0](club.x, club.edge_index).relu()
        torch.testing.assert_close(
            module(club.x, club.edge_index, everybody), layers[1](hidden, club.edge_index), atol=1e-5, rtol=1e-5
        )
