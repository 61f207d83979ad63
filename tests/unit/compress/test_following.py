"""Channels that come to no end: halves that change places are followed in ever another order."""

from __future__ import annotations

import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from torch import nn

from modelpress.api.source import TensorSpec
from modelpress.api.stages import Prune
from modelpress.compress.models import ModuleModel
from modelpress.compress.signature import Signature
from modelpress.compress.stages import prune

WIDTH, HEAD, GROUPS = 32, 8, 2
"""Width of a token, of a head, and query heads for each head of keys."""


class Attention(nn.Module):
    """Attention with positions as rotations and fewer heads of keys than of queries, as in Llama."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.o_proj = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.k_proj, self.v_proj = nn.Linear(WIDTH, WIDTH // GROUPS), nn.Linear(WIDTH, WIDTH // GROUPS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        queries, keys, values = (
            layer(x).view(*x.shape[:2], -1, HEAD).transpose(1, 2) for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        queries, keys = rotated(queries), rotated(keys)
        batch, heads, length, _ = keys.shape
        keys, values = (
            item[:, :, None].expand(batch, heads, GROUPS, length, HEAD).reshape(batch, -1, length, HEAD)
            for item in (keys, values)
        )
        found = torch.softmax(queries @ keys.transpose(2, 3), -1) @ values
        answer: torch.Tensor = self.o_proj(found.transpose(1, 2).reshape(*x.shape[:2], -1))
        return answer


def rotated(x: torch.Tensor) -> torch.Tensor:
    """Return heads turned by their positions."""
    angles = torch.arange(x.shape[2])[:, None] / torch.arange(1, HEAD + 1)
    half = HEAD // 2
    return x * angles.cos() + torch.cat([-x[..., half:], x[..., :half]], -1) * angles.sin()


class Decoder(nn.Module):
    """Blocks of attention and a gated network."""

    def __init__(self, blocks: int = 3) -> None:
        super().__init__()
        self.attention = nn.ModuleList(Attention() for _ in range(blocks))
        self.gate, self.up, self.down = (
            nn.ModuleList(nn.Linear(*sizes) for _ in range(blocks)) for sizes in ((WIDTH, 64), (WIDTH, 64), (64, WIDTH))
        )
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for attention, gate, up, down in zip(self.attention, self.gate, self.up, self.down, strict=True):
            x = x + attention(x)
            x = x + down(torch.nn.functional.silu(gate(x)) * up(x))
        found: torch.Tensor = self.head(x)
        return found


@pytest.mark.timeout(150)
def test_layers_whose_channels_come_to_no_end_are_left_alone_and_named(make_context: MakeContext) -> None:
    signature = Signature((TensorSpec(name="x", shape=("batch", "time", WIDTH)),), (TensorSpec(name="y"),))
    context = make_context()
    settings = Prune.model_validate({"structure": "Channel", "amount": {"channels": 0.5}})
    layers = dict(prune.run(ModuleModel(Decoder().eval(), signature), settings, context).module.named_modules())
    for block in range(3):
        assert [layers[f"{name}.{block}"].out_features for name in ("gate", "up")] == [32, 32]
        assert layers[f"attention.{block}.q_proj"].out_features == WIDTH
    assert any("come to no end" in note and "attention.0.q_proj" in note for note in context.notes)
