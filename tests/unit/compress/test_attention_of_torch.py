"""Attention of torch's own modules, which puts the sequence first and masks what is True."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.test_attention import fused, operators
from torch import nn

from modelpress.api.source import TensorSpec
from modelpress.compress import graph
from modelpress.compress.export import export
from modelpress.compress.models import ModuleModel
from modelpress.compress.signature import Signature

SIGNATURE = Signature(
    (
        TensorSpec(name="tokens", shape=("batch", "sequence", 16)),
        TensorSpec(name="padding_mask", shape=("batch", "sequence"), dtype="bool"),
    ),
    (TensorSpec(name="hidden"),),
)


class Encoder(nn.Module):
    """Two layers of nn.TransformerEncoder."""

    def __init__(self, *, batch_first: bool, padding: bool) -> None:
        super().__init__()
        self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=batch_first), 2)
        self.batch_first, self.padding = batch_first, padding

    def forward(self, tokens: torch.Tensor, padding_mask: torch.Tensor) -> torch.Tensor:
        """tokens [batch, sequence, 16], padding_mask [batch, sequence] → [batch, sequence, 16]."""
        rows = tokens if self.batch_first else tokens.transpose(0, 1)
        found: torch.Tensor = self.layers(rows, src_key_padding_mask=padding_mask if self.padding else None)
        found = found if self.batch_first else found.transpose(0, 1)
        return found if self.padding else found + 0 * padding_mask[..., None]


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("padding", [True, False])
def test_encoders_of_torch_are_fused_and_answer_as_torch_does(
    batch_first: bool, padding: bool, tmp_path: Path, make_context: MakeContext
) -> None:
    torch.manual_seed(0)
    module = Encoder(batch_first=batch_first, padding=padding).eval()
    model = ModuleModel(module, SIGNATURE)
    after = fused(export(model, tmp_path / "in" / "model.onnx", tmp_path, None, 0), make_context())
    found = operators(after.path)
    assert (found["MultiHeadAttention"], found["If"], found["Softmax"]) == (2, 2 if padding else 0, 0)
    session = graph.open_session(after.path)
    for batch, length in ((1, 1), (3, 7), (4, 4), (2, 19)):
        for masked in (False, True):
            mask = np.zeros((batch, length), np.bool_)
            mask[-1, 1 + length // 2 :] = masked
            tokens = np.random.default_rng(length).standard_normal((batch, length, 16)).astype(np.float32)
            got = graph.run(session, {"tokens": tokens, "padding_mask": mask})["hidden"]
            with torch.no_grad():
                wanted = Encoder.forward(module, torch.from_numpy(tokens), torch.from_numpy(mask)).numpy()
            assert np.abs(got - wanted)[~mask].max() < 1e-5


class Decoder(nn.Module):
    """Two layers of nn.TransformerDecoder, which look at the same memory with the same weights at first."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 4, 32, batch_first=True), 2)

    def forward(self, tokens: torch.Tensor, padding_mask: torch.Tensor) -> torch.Tensor:
        """tokens [batch, sequence, 16], padding_mask [batch, sequence] of the memory → [batch, sequence, 16]."""
        later = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).triu(1)
        memory = tokens.flip(-1)
        found: torch.Tensor = self.layers(tokens, memory, tgt_mask=later, memory_key_padding_mask=padding_mask)
        return found


def test_a_decoder_has_its_looks_at_memory_fused_and_its_causal_ones_left_alone(
    tmp_path: Path, make_context: MakeContext
) -> None:
    torch.manual_seed(0)
    model, context = ModuleModel(Decoder().eval(), SIGNATURE), make_context()
    after = fused(export(model, tmp_path / "in" / "model.onnx", tmp_path, None, 0), context)
    assert operators(after.path)["MultiHeadAttention"] == 2
    assert context.notes[1] == (
        "Other attention was left alone: no token sees those after it (its mask is causal), with which one operator is "
        "no faster."
    )
    session = graph.open_session(after.path)
    for masked in (False, True):
        mask = np.zeros((3, 7), np.bool_)
        mask[-1, 4:] = masked
        asked = {
            "tokens": np.random.default_rng(1).standard_normal((3, 7, 16)).astype(np.float32),
            "padding_mask": mask,
        }
        assert np.abs(graph.run(session, asked)["hidden"] - model.run(asked)["hidden"]).max() < 1e-5


class Plain(nn.Module):
    """Attention of six patches as vision and speech models have it: a mask of nothing, or a view that is idle."""

    def __init__(self, kept: torch.Tensor | None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))
        self.kept = kept

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """patches [batch, 6, 16] → [batch, 6, 16]."""
        count = patches.shape[0]
        query, key, value = (layer(patches).view(count, 6, 4, 4).transpose(1, 2) for layer in self.layers)
        kept = self.kept.expand(count, 1, 6, 6) if self.kept is not None else None
        found = nn.functional.scaled_dot_product_attention(query, key, value, kept)
        return found.view(-1, 4, 6, 4).transpose(1, 2).reshape(count, 6, 16)


@pytest.mark.parametrize(
    ("kept", "fusions"),
    [
        (None, 1),
        (torch.ones(1, 1, 6, 1, dtype=torch.bool), 1),
        (torch.ones(6, 6, dtype=torch.bool)[None, None].tril(), 0),
    ],
)
def test_what_masks_nothing_and_views_that_change_nothing_are_seen_through(
    kept: torch.Tensor | None, fusions: int, tmp_path: Path, make_context: MakeContext
) -> None:
    torch.manual_seed(0)
    signature = Signature((TensorSpec(name="patches", shape=("batch", 6, 16)),), (TensorSpec(name="hidden"),))
    model = ModuleModel(Plain(kept).eval(), signature)
    after = fused(export(model, tmp_path / "in" / "model.onnx", tmp_path, None, 0), make_context())
    found = operators(after.path)
    assert (found["MultiHeadAttention"], found["If"], found["Where"] * fusions) == (fusions, 0, 0)
    for count in (1, 3):
        asked = {"patches": np.random.default_rng(count).standard_normal((count, 6, 16)).astype(np.float32)}
        got, wanted = graph.run(graph.open_session(after.path), asked)["hidden"], model.run(asked)["hidden"]
        assert np.abs(got - wanted).max() < 1e-5
