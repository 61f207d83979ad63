"""Stage fuse with attention: one operator where nothing is masked, the same answers everywhere."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import samples_of
from torch import nn

from modelpress.api.source import TensorSpec
from modelpress.api.stages import Fuse, Quantize
from modelpress.compress import graph
from modelpress.compress.export import distance, export
from modelpress.compress.models import GraphModel, ModuleModel
from modelpress.compress.signature import Signature
from modelpress.compress.stages import fuse_graph, quantize

HEADS, WIDTH, VALUES = 4, 8, 6
"""Width of queries and keys, and of values."""
SIGNATURE = Signature(
    (
        TensorSpec(name="tokens", shape=("batch", "sequence", 16)),
        TensorSpec(name="attention_mask", shape=("batch", "sequence"), dtype="int64"),
    ),
    (TensorSpec(name="hidden"),),
)
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class Attending(nn.Module):
    """Two layers of attention, of queries, keys and values [batch, heads, sequence, width] and a mask."""

    def __init__(self, attend: Attend) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "query": nn.Linear(16, HEADS * WIDTH),
                    "key": nn.Linear(16, HEADS * WIDTH),
                    "value": nn.Linear(16, HEADS * VALUES),
                    "out": nn.Linear(HEADS * VALUES, 16),
                }
            )
            for _ in range(2)
        )
        self.attend = attend

    def forward(self, tokens: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """tokens [batch, sequence, 16], attention_mask [batch, sequence] → [batch, sequence, 16]."""
        batch, length, _ = tokens.shape
        for layer in self.layers:
            query, key, value = (
                layer[name](tokens).view(batch, length, HEADS, width).transpose(1, 2)
                for name, width in (("query", WIDTH), ("key", WIDTH), ("value", VALUES))
            )
            answers = self.attend(query, key, value, attention_mask)
            tokens = tokens + layer["out"](answers.transpose(1, 2).reshape(batch, length, -1))
        return tokens


def added(mask: torch.Tensor) -> torch.Tensor:
    return (1 - mask[:, None, None].float()) * torch.finfo(torch.float32).min


def padded(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (query @ key.transpose(2, 3) * WIDTH**-0.5 + added(mask)).softmax(-1) @ value


def divided(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (added(mask) + query @ key.transpose(-1, -2) / math.sqrt(WIDTH)).softmax(-1) @ value


def scaled_before(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return ((query * 0.5) @ (key * 0.6).transpose(2, 3) + added(mask)).softmax(-1) @ value


def unmasked(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (query @ key.transpose(2, 3) * WIDTH**-0.5).softmax(-1) @ value


def of_torch(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return nn.functional.scaled_dot_product_attention(query, key, value, added(mask))


def of_torch_with_truths(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    return nn.functional.scaled_dot_product_attention(query, key, value, mask[:, None, None].bool())


def causal(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    before = torch.ones(query.shape[2], query.shape[2], dtype=torch.bool).tril()
    return (query @ key.transpose(2, 3) + (torch.where(before, 0.0, -1e9) + added(mask))).softmax(-1) @ value


def capped(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (torch.tanh(query @ key.transpose(2, 3)) + added(mask)).softmax(-1) @ value


def biased(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    places = torch.arange(query.shape[2])
    bias = -0.1 * (places[:, None] - places).abs()
    return (query @ key.transpose(2, 3) + bias + added(mask)).softmax(-1) @ value


def windowed(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    places = torch.arange(query.shape[2])
    near = (places[:, None] - places).abs() < 2
    return (query @ key.transpose(2, 3) + added(mask)).masked_fill(~near, -1e9).softmax(-1) @ value


def turned_by_position(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return padded(query + torch.arange(query.shape[2])[:, None] / 10, key, value, mask)


def told(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = (query @ key.transpose(2, 3) + added(mask)).softmax(-1)
    return weights @ value + weights.amax(-1, keepdim=True)


def hidden(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    scores = query @ key.transpose(2, 3) / math.sqrt(WIDTH)
    return scores.masked_fill(mask[:, None, None] == 0, -1e9).softmax(-1) @ value


def seen(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    scores = query @ key.transpose(2, 3) / math.sqrt(WIDTH)
    return torch.where(mask[:, None, None] > 0, scores, -1e9).softmax(-1) @ value


def twice(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    scores = (query @ key.transpose(2, 3) + added(mask)) / math.sqrt(WIDTH)
    return scores.masked_fill(mask[:, None, None] == 0, -1e9).softmax(-1) @ value


def exported(attend: Attend, folder: Path) -> GraphModel:
    torch.manual_seed(0)
    model = ModuleModel(Attending(attend).eval(), SIGNATURE)
    return export(model, folder / "in" / "model.onnx", folder, None, 0)


def asked(seed: int, *, padding: bool, length: int = 7) -> dict[str, np.ndarray[Any, Any]]:
    generator = np.random.default_rng(seed)
    mask = np.ones((3, length), np.int64)
    if padding:
        mask[1, length // 2 :] = mask[2, length - 1 :] = 0
    return {"tokens": generator.standard_normal((3, length, 16)).astype(np.float32), "attention_mask": mask}


def operators(path: Path) -> Counter[str]:
    """Count the operators of a graph, and those inside of the branches that are taken where nothing is masked."""
    nodes = list(onnx.load(path).graph.node)
    inner = [item.g for node in nodes for item in node.attribute if item.name == "then_branch"]
    return Counter(node.op_type for part in (nodes, *(graph_.node for graph_ in inner)) for node in part)


def fused(before: GraphModel, context: Any) -> GraphModel:
    return fuse_graph.run(before, Fuse(attention=True), context)


@pytest.mark.parametrize(
    "attend", [padded, divided, scaled_before, unmasked, of_torch, of_torch_with_truths, hidden, seen, twice]
)
def test_attention_becomes_one_operator_and_answers_as_before(
    attend: Attend, tmp_path: Path, make_context: MakeContext
) -> None:
    before, context = exported(attend, tmp_path), make_context()
    after = fused(before, context)
    found = operators(after.path)
    assert found["MultiHeadAttention"] == 2
    assert found["If"] == (0 if attend is unmasked else 2)
    assert found["Softmax"] == 0
    assert context.notes == [
        f"Attention was fused 2 times{'' if attend is unmasked else ', in 2 of them where a request masks nothing'}."
    ]
    one, other = (graph.open_session(item.path) for item in (before, after))
    for seed, length in enumerate((1, 7, 20)):
        for padding in (False, True):
            inputs = asked(seed, padding=padding, length=length)
            assert distance(graph.run(one, inputs)["hidden"], graph.run(other, inputs)["hidden"]) < 1e-5


@pytest.mark.parametrize(
    ("attend", "why"),
    [
        (causal, "no token sees those after it (its mask is causal), with which one operator is no faster"),
        (biased, "a bias is added to its scores, with which one operator is no faster"),
        (
            windowed,
            "it has positions masked even where every input with mask in its name is all 1 or all 0, with which "
            "one operator is no faster",
        ),
        (capped, "its scores are more than products of queries and keys that are scaled and masked"),
        (turned_by_position, "its queries are what Add makes, not just rows that are split into heads"),
        (told, "its weights are taken elsewhere too"),
    ],
)
def test_attention_that_would_gain_nothing_or_is_another_is_left_alone(
    attend: Attend, why: str, tmp_path: Path, make_context: MakeContext
) -> None:
    before, context = exported(attend, tmp_path), make_context()
    after = fused(before, context)
    assert operators(after.path)["MultiHeadAttention"] == 0
    assert context.warnings == [f"No attention was fused: {why}."]


def masked_by_halves(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    lost = torch.where(mask[:, None, None] > 0, 0.0, -1e4).to(query.dtype)
    return (query @ key.transpose(2, 3) * WIDTH**-0.5 + lost).softmax(-1) @ value


@pytest.mark.parametrize(("kind", "count"), [("float16", 2), ("float64", 0)])
def test_attention_of_other_types_is_fused_where_the_operator_knows_them(
    kind: str, count: int, tmp_path: Path, make_context: MakeContext
) -> None:
    tokens, mask = SIGNATURE.inputs
    signature = Signature((tokens.model_copy(update={"dtype": kind}), mask), SIGNATURE.outputs)
    model = ModuleModel(Attending(masked_by_halves).eval().to(getattr(torch, kind)), signature)
    before = export(model, tmp_path / "in" / "model.onnx", tmp_path, None, 0)
    after = fused(before, make_context())
    assert operators(after.path)["MultiHeadAttention"] == count
    one, other = (graph.open_session(item.path) for item in (before, after))
    for padding in (False, True):
        inputs = asked(1, padding=padding)
        inputs["tokens"] = inputs["tokens"].astype(kind)
        assert distance(graph.run(one, inputs)["hidden"], graph.run(other, inputs)["hidden"]) < 5e-3


class OfOtherAxes(nn.Module):
    """Attention of eight tokens whose axes are not those of what it takes: in windows, or answered as one list."""

    def __init__(self, windows: int, answer: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, HEADS * WIDTH) for _ in range(3))
        self.windows, self.answer = windows, answer

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens [batch, 8, 16] → [batch, 8, 32]."""
        each = (tokens.shape[0] * self.windows, 8 // self.windows, HEADS, WIDTH)
        query, key, value = (layer(tokens).view(each).transpose(1, 2) for layer in self.layers)
        answers = unmasked(query, key, value, tokens).transpose(1, 2)
        return answers.reshape(*self.answer, HEADS * WIDTH).relu().reshape(tokens.shape[0], 8, -1)


@pytest.mark.parametrize(
    ("windows", "answer", "why"),
    [
        (2, (-1, 8), "its queries are what Add makes, not just rows that are split into heads"),
        (2, (-1, 4), "its queries are what Add makes, not just rows that are split into heads"),
        (1, (-1, 2), "its answers are put in an order in which rows cannot be told apart"),
    ],
)
def test_attention_of_other_axes_than_its_rows_have_is_left_alone(
    windows: int, answer: tuple[int, ...], why: str, tmp_path: Path, make_context: MakeContext
) -> None:
    signature = Signature((TensorSpec(name="tokens", shape=("batch", 8, 16)),), (TensorSpec(name="hidden"),))
    model, context = ModuleModel(OfOtherAxes(windows, answer).eval(), signature), make_context()
    after = fused(export(model, tmp_path / "in" / "model.onnx", tmp_path, None, 0), context)
    assert operators(after.path)["MultiHeadAttention"] == 0
    assert context.warnings == [f"No attention was fused: {why}."]


def test_answers_as_one_list_of_rows_are_fused(tmp_path: Path, make_context: MakeContext) -> None:
    signature = Signature((TensorSpec(name="tokens", shape=("batch", 8, 16)),), (TensorSpec(name="hidden"),))
    model = ModuleModel(OfOtherAxes(1, (-1,)).eval(), signature)
    after = fused(export(model, tmp_path / "in" / "model.onnx", tmp_path, None, 0), make_context())
    assert operators(after.path)["MultiHeadAttention"] == 1
    for count in (1, 3):
        inputs = {"tokens": np.random.default_rng(count).standard_normal((count, 8, 16)).astype(np.float32)}
        got = graph.run(graph.open_session(after.path), inputs)["hidden"]
        assert distance(model.run(inputs)["hidden"], got) < 1e-5


@pytest.mark.parametrize("preset", ["INT8", "INT8_DYNAMIC", "W4A16"])
def test_what_is_fused_is_quantized_as_any_other(preset: str, tmp_path: Path, make_context: MakeContext) -> None:
    context = make_context({"calibration": samples_of(asked(5, padding=True, length=12))})
    before = exported(padded, tmp_path)
    after = fused(before, context)
    (tmp_path / "quantized").mkdir()
    context.scratch = tmp_path / "quantized"
    small = quantize.run(after, Quantize.model_validate({"preset": preset}), context)
    assert operators(small.path)["MultiHeadAttention"] == 2
    for padding in (False, True):
        inputs = asked(6, padding=padding)
        wanted, got = (graph.run(graph.open_session(item.path), inputs)["hidden"] for item in (before, small))
        assert distance(wanted, got) < 0.15
