"""Forms of attention that people write themselves: which become one operator, and what is said of the others."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.test_attention import fused, operators
from torch import nn
from transformers import BertConfig, BertModel

from modelpress.api.source import TensorSpec
from modelpress.compress import graph
from modelpress.compress.export import export
from modelpress.compress.models import GraphModel, ModuleModel
from modelpress.compress.signature import Signature

TOKENS = TensorSpec(name="tokens", shape=("batch", "sequence", 16))
HIDDEN = (TensorSpec(name="hidden"),)
PLAIN = Signature((TOKENS,), HIDDEN)
PADDED = Signature((TOKENS, TensorSpec(name="padding_mask", shape=("batch", "sequence"), dtype="bool")), HIDDEN)
SIZES = ((1, 1), (3, 7), (4, 4), (2, 19))


class OfTorch(nn.Module):
    """nn.MultiheadAttention as it is called by default, its averaged weights left aside."""

    def __init__(self, *, batch_first: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=batch_first)

    def forward(self, tokens: torch.Tensor, padding_mask: torch.Tensor | None = None) -> torch.Tensor:
        """tokens [batch, sequence, 16] → the same."""
        rows = tokens if self.attention.batch_first else tokens.transpose(0, 1)
        found: torch.Tensor = self.attention(rows, rows, rows, key_padding_mask=padding_mask)[0]
        return found if self.attention.batch_first else found.transpose(0, 1)


class Own(nn.Module):
    """Attention as in textbooks, in several ways of writing it."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(16, 16) for _ in range(4))
        self.norm = nn.LayerNorm(16)
        self.latents = nn.Parameter(torch.randn(1, 3, 16))
        self.way = way

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens [batch, sequence, 16] → the same, of queries of its own [batch, 3, 16]."""
        batch, length, _ = tokens.shape
        query, key, value = self.query(tokens), self.key(tokens), self.value(tokens)
        if self.way == "one head":
            found = (query @ key.transpose(1, 2) / 4).softmax(-1) @ value
        elif self.way == "stacked":
            query, key, value = (
                item.view(batch, length, 4, 4).transpose(1, 2).reshape(batch * 4, length, 4)
                for item in (query, key, value)
            )
            found = torch.bmm((torch.bmm(query, key.transpose(1, 2)) / 2).softmax(-1), value)
            found = found.view(batch, 4, length, 4).transpose(1, 2).reshape(batch, length, 16)
        elif self.way == "einsum":
            query, key, value = (item.view(batch, length, 4, 4) for item in (query, key, value))
            weights = (torch.einsum("bqhw,bkhw->bhqk", query, key) / 2).softmax(-1)
            found = torch.einsum("bhqk,bkhw->bqhw", weights, value).reshape(batch, length, 16)
        elif self.way == "fewer keys":
            query = query.view(batch, length, 4, 4).transpose(1, 2)
            key, value = (item[..., :4].view(batch, length, 1, 4).transpose(1, 2) for item in (key, value))
            found = ((query @ key.transpose(2, 3) / 2).softmax(-1) @ value).transpose(1, 2).reshape(batch, length, 16)
        else:
            query = self.query(self.latents) if self.way == "latents" else query
            width = -1 if self.way == "width not said" else 4
            query, key, value = (
                item.view(item.shape[0], item.shape[1], 4, width).transpose(1, 2) for item in (query, key, value)
            )
            found = (query @ key.transpose(2, 3) / math.sqrt(4)).softmax(-1) @ value
            found = found.transpose(1, 2).reshape(batch, -1, 16)
        answer: torch.Tensor = self.out(found)
        return answer if self.way == "latents" else self.norm(tokens + answer)


def both(module: nn.Module, signature: Signature, folder: Path, context: Any) -> tuple[ModuleModel, GraphModel]:
    torch.manual_seed(0)
    model = ModuleModel(module.eval(), signature)
    return model, fused(export(model, folder / "in" / "model.onnx", folder, None, 0), context)


def answers_alike(model: ModuleModel, after: GraphModel, *, padding: bool) -> bool:
    session = graph.open_session(after.path)
    for batch, length in SIZES:
        asked = {"tokens": np.random.default_rng(length).standard_normal((batch, length, 16)).astype(np.float32)}
        if padding:
            asked["padding_mask"] = np.zeros((batch, length), np.bool_)
            asked["padding_mask"][-1, 1 + length // 2 :] = batch != 4
        if np.abs(graph.run(session, asked)["hidden"] - model.run(asked)["hidden"]).max() > 1e-5:
            return False
    return True


@pytest.mark.parametrize(("batch_first", "padding"), [(True, True), (False, True), (True, False)])
def test_attention_of_torch_with_weights_that_nobody_takes_is_fused(
    batch_first: bool, padding: bool, tmp_path: Path, make_context: MakeContext
) -> None:
    module = OfTorch(batch_first=batch_first)
    model, after = both(module, PADDED if padding else PLAIN, tmp_path, make_context())
    found = operators(after.path)
    assert (found["MultiHeadAttention"], found["If"], found["Softmax"]) == (1, padding, 0)
    assert answers_alike(model, after, padding=padding)


@pytest.mark.parametrize("way", ["one head", "stacked", "width not said"])
def test_attention_is_fused_however_heads_are_written(way: str, tmp_path: Path, make_context: MakeContext) -> None:
    model, after = both(Own(way), PLAIN, tmp_path, make_context())
    found = operators(after.path)
    assert (found["MultiHeadAttention"], found["Softmax"]) == (1, 0)
    assert answers_alike(model, after, padding=False)


@pytest.mark.parametrize(
    ("way", "why"),
    [
        ("latents", "its queries are a constant, not just rows that are split into heads"),
        ("einsum", "its products are written as einsum, and only those of matmul are known"),
        ("fewer keys", "its queries have other heads than its keys and values"),
    ],
)
def test_attention_of_other_forms_is_left_alone(way: str, why: str, tmp_path: Path, make_context: MakeContext) -> None:
    context = make_context()
    model, after = both(Own(way), PLAIN, tmp_path, context)
    assert operators(after.path)["MultiHeadAttention"] == 0
    assert context.warnings == [f"No attention was fused: {why}."]
    assert answers_alike(model, after, padding=False)


class OfBothSenses(Own):
    """Attention with a mask in which 1 is kept, and one in which True is left out."""

    def forward(self, tokens: torch.Tensor, kept_mask: torch.Tensor, lost_mask: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """tokens [batch, sequence, 16], masks [batch, sequence] → [batch, sequence, 16]."""
        batch, length, _ = tokens.shape
        query, key, value = (
            layer(tokens).view(batch, length, 4, 4).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(2, 3) / 2 + (1 - kept_mask[:, None, None].float()) * -1e9
        weights = scores.masked_fill(lost_mask[:, None, None], -1e9).softmax(-1)
        found: torch.Tensor = self.out((weights @ value).transpose(1, 2).reshape(batch, length, 16))
        return found


def test_masks_of_either_sense_may_stand_beside_each_other(tmp_path: Path, make_context: MakeContext) -> None:
    masks = (("kept_mask", "int64"), ("lost_mask", "bool"))
    specs = [TensorSpec(name=name, shape=("batch", "sequence"), dtype=kind) for name, kind in masks]
    model, after = both(OfBothSenses(""), Signature((TOKENS, *specs), HIDDEN), tmp_path, make_context())
    assert operators(after.path)["If"] == 1
    session = graph.open_session(after.path)
    for first, second in ((0, 0), (3, 0), (0, 2), (3, 2)):
        kept, lost = np.ones((2, 7), np.int64), np.zeros((2, 7), np.bool_)
        kept[1, 7 - first :], lost[0, 7 - second :] = 0, True
        tokens = np.random.default_rng(0).standard_normal((2, 7, 16)).astype(np.float32)
        asked = {"tokens": tokens, "kept_mask": kept, "lost_mask": lost}
        assert np.abs(graph.run(session, asked)["hidden"] - model.run(asked)["hidden"]).max() < 1e-5


class OfBert(nn.Module):
    """BERT when nobody gives it types of tokens: it looks them up in a table, by position."""

    def __init__(self) -> None:
        super().__init__()
        config = BertConfig(
            vocab_size=50,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=32,
            attn_implementation="eager",
        )
        self.encoder = BertModel(config, add_pooling_layer=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Both [batch, sequence] → [batch, sequence, 32]."""
        found: torch.Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return found


def test_attention_is_found_where_shapes_of_rows_are_not_known(tmp_path: Path, make_context: MakeContext) -> None:
    specs = [
        TensorSpec(name=name, shape=("batch", "sequence"), dtype="int64") for name in ("input_ids", "attention_mask")
    ]
    model, after = both(OfBert(), Signature(tuple(specs), HIDDEN), tmp_path, make_context())
    assert operators(after.path)["If"] == 2
    asked = {"input_ids": np.arange(20).reshape(2, 10), "attention_mask": np.ones((2, 10), np.int64)}
    for kept in (10, 4):
        asked["attention_mask"][1, kept:] = 0
        found = graph.run(graph.open_session(after.path), asked)["hidden"]
        assert np.abs(found - model.run(asked)["hidden"]).max() < 1e-4


def test_sums_and_normalizations_behind_what_is_fused_stay_apart(tmp_path: Path, make_context: MakeContext) -> None:
    _, after = both(Own("in heads"), PLAIN, tmp_path, make_context())
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(after.path), options, providers=["CPUExecutionProvider"])
    found = operators(tmp_path / "optimized.onnx")
    assert (found["MultiHeadAttention"], found["LayerNormalization"], found["SkipLayerNormalization"]) == (1, 1, 0)
