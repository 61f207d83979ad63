"""Training on labels of nodes and of tokens: classes are on the last axis, and -100 is not to be learned."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import samples_of
from torch import nn

from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec
from modelpress.api.stages import Distill, Finetune
from modelpress.compress.datasets import Samples
from modelpress.compress.errors import Judged
from modelpress.compress.models import ModuleModel
from modelpress.compress.signature import Signature
from modelpress.compress.stages import distill, finetune
from modelpress.compress.stages.losses import IGNORED

CLASSES, NODES, GRAPHS = 3, 12, 16
TOKENS, TEXTS = 20, 64


class Convolution(nn.Module):
    """Two layers of sums over neighbours; without them a node's features say nothing of its class."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(CLASSES, 16), nn.Linear(16, CLASSES)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        """x [nodes, classes], edge_index [2, edges] → scores [nodes, classes]."""
        sums = torch.zeros_like(x).index_add(0, edge_index[1], x[edge_index[0]])
        found: torch.Tensor = self.second(torch.relu(self.first(sums)))
        return found


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(TOKENS, 16), nn.Linear(16, CLASSES)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens [batch, sequence] → scores [batch, sequence, classes]."""
        found: torch.Tensor = self.head(self.embedding(tokens))
        return found


def graphs() -> tuple[ModuleModel, Samples]:
    """Each node is of its neighbour's kind, and its features alone tell it."""
    torch.manual_seed(0)
    inputs = (
        TensorSpec(name="x", shape=("nodes", CLASSES)),
        TensorSpec(name="edge_index", shape=(2, "edges"), dtype="int64"),
    )
    generator = np.random.default_rng(0)
    kinds = generator.integers(0, CLASSES, (GRAPHS, NODES))
    sources = np.stack([generator.permutation(NODES) for _ in range(GRAPHS)])
    edges = np.stack([sources, np.broadcast_to(np.arange(NODES), sources.shape)], 1)
    data = {"x": np.eye(CLASSES, dtype=np.float32)[kinds], "edge_index": edges}
    labels = np.take_along_axis(kinds, sources, 1)
    return ModuleModel(Convolution(), Signature(inputs, (TensorSpec(name="scores"),))), samples_of(
        data, {"scores": labels}
    )


def ragged(parts: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    column = np.empty(len(parts), object)
    for row, part in enumerate(parts):
        column[row] = part
    return column


def graphs_of_all_sizes() -> tuple[ModuleModel, Samples]:
    """The same, of 4 to 19 nodes: labels differ in number from graph to graph, as inputs do."""
    model, _ = graphs()
    generator = np.random.default_rng(1)
    kinds = [generator.integers(0, CLASSES, 4 + row) for row in range(GRAPHS)]
    sources = [generator.permutation(len(kind)) for kind in kinds]
    data = {
        "x": ragged([np.eye(CLASSES, dtype=np.float32)[kind] for kind in kinds]),
        "edge_index": ragged([np.stack([source, np.arange(len(source))]) for source in sources]),
    }
    labels = [kind[source] for kind, source in zip(kinds, sources, strict=True)]
    return model, samples_of(data, {"scores": ragged(labels)})


def texts(length: int) -> tuple[ModuleModel, Samples]:
    torch.manual_seed(0)
    inputs = (TensorSpec(name="tokens", shape=("batch", "sequence"), dtype="int64"),)
    tokens = np.random.default_rng(0).integers(0, TOKENS, (TEXTS, length))
    return ModuleModel(Tagger(), Signature(inputs, (TensorSpec(name="scores"),))), samples_of(
        {"tokens": tokens}, {"scores": tokens % CLASSES}
    )


CASES = {
    "nodes": graphs,
    "nodes of graphs of all sizes": graphs_of_all_sizes,
    "tokens": lambda: texts(7),
    "as many tokens as classes": lambda: texts(CLASSES),
}


def hidden(samples: Samples) -> Samples:
    """Return the samples with every third label hidden."""
    labels = samples.targets["scores"]
    if labels.dtype == object:
        return samples_of(
            samples.inputs,
            {"scores": ragged([np.where(np.arange(len(one)) % 3, one, IGNORED) for one in labels])},
        )
    return samples_of(
        samples.inputs, {"scores": np.where(np.arange(labels.size).reshape(labels.shape) % 3, labels, IGNORED)}
    )


def scores(model: ModuleModel, samples: Samples) -> np.ndarray[Any, Any]:
    """Return the answers to all samples, [samples, nodes or tokens, classes]."""
    if model.signature.batched:
        return model.run(samples.inputs)["scores"]
    each = ({name: column[row] for name, column in samples.inputs.items()} for row in range(samples.count))
    return np.stack([model.run(inputs)["scores"] for inputs in each])


def right(model: ModuleModel, samples: Samples) -> float:
    if samples.targets["scores"].dtype == object:
        answers = [model.run({name: column[row] for name, column in samples.inputs.items()}) for row in range(GRAPHS)]
        each = zip(answers, samples.targets["scores"], strict=True)
        return float(np.mean([(answer["scores"].argmax(-1) == wanted).mean() for answer, wanted in each]))
    return float((scores(model, samples).argmax(-1) == samples.targets["scores"]).mean())


def settings(**more: Any) -> dict[str, Any]:
    return {"epochs": 12, "batchSize": 8, "learningRate": 0.05, **more}


@pytest.mark.parametrize("name", CASES)
def test_labels_of_nodes_and_tokens_are_learned_and_hidden_ones_need_not_be_there(
    name: str, make_context: MakeContext
) -> None:
    model, samples = CASES[name]()
    assert right(model, samples) < 0.7
    context = make_context({"train": hidden(samples), "validation": hidden(samples)}, "CrossEntropy")
    finetune.run(model, Finetune.model_validate(settings(labelSmoothing=0.05)), context)
    assert right(model, samples) == 1


@pytest.mark.parametrize("alpha", [0.5, 1])
@pytest.mark.parametrize("name", CASES)
def test_a_student_learns_its_teachers_answers_for_nodes_and_tokens(
    name: str, alpha: float, make_context: MakeContext
) -> None:
    teacher, samples = CASES[name]()
    student = ModuleModel(copy.deepcopy(teacher.module), teacher.signature)
    finetune.run(teacher, Finetune.model_validate(settings()), make_context({"train": samples}, "CrossEntropy"))
    given = hidden(samples) if alpha < 1 else samples_of(samples.inputs)
    context = make_context({"train": given}, "CrossEntropy")
    context.teacher = teacher
    distill.run(student, Distill.model_validate(settings(alpha=alpha)), context)
    assert right(student, samples) == 1


def test_samples_with_nothing_to_learn_change_nothing(make_context: MakeContext) -> None:
    model, samples = texts(7)
    nothing = samples_of(samples.inputs, {"scores": np.full_like(samples.targets["scores"], IGNORED)})
    before = scores(model, samples)
    finetune.run(
        model, Finetune.model_validate(settings(weightDecay=0)), make_context({"train": nothing}, "CrossEntropy")
    )
    np.testing.assert_array_equal(scores(model, samples), before)


@pytest.mark.parametrize(
    ("label", "length", "words"),
    [(CLASSES, 9, "holds the label 3 for scores"), (0, 10, "have shape [10] a sample, CrossEntropy needs [9]")],
)
def test_labels_that_do_not_fit_one_graph_of_many_are_named(
    label: int, length: int, words: str, make_context: MakeContext
) -> None:
    model, samples = graphs_of_all_sizes()
    samples.targets["scores"][5] = np.full(length, label)
    with pytest.raises(Judged) as caught:
        finetune.run(model, Finetune.model_validate(settings()), make_context({"train": samples}, "CrossEntropy"))
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("labels", "reason", "words"),
    [
        (
            np.full((GRAPHS, NODES), CLASSES),
            Reason.LABELS_OUT_OF_RANGE,
            "label 3 for scores, whose 3 classes are 0 to 2",
        ),
        (np.full((GRAPHS, NODES), -1), Reason.LABELS_OUT_OF_RANGE, "label -1"),
        (
            np.zeros((GRAPHS, NODES + 1), np.int64),
            Reason.DATASET_DOES_NOT_FIT,
            "have shape [13] a sample, CrossEntropy needs [12]",
        ),
    ],
)
def test_labels_that_do_not_fit_the_nodes_are_named(
    labels: np.ndarray[Any, Any], reason: Reason, words: str, make_context: MakeContext
) -> None:
    model, samples = graphs()
    context = make_context({"train": samples_of(samples.inputs, {"scores": labels})}, "CrossEntropy")
    with pytest.raises(Judged) as caught:
        finetune.run(model, Finetune.model_validate(settings()), context)
    assert caught.value.reason is reason
    assert words in caught.value.message
