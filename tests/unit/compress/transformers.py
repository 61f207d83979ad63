"""Small modules with blocks and attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from modelpress.api.source import TensorSpec
from modelpress.compress.models import ModuleModel
from modelpress.compress.signature import Signature

WIDTH, HEADS, BLOCKS = 16, 4, 4


class SelfAttention(nn.Module):
    """Separate layers for query, key and value, as in transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads, self.head_dim = HEADS, WIDTH // HEADS
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out_proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        batch, length, _ = tokens.shape
        parts = [
            layer(tokens).view(batch, length, self.num_heads, self.head_dim).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        ]
        answer = nn.functional.scaled_dot_product_attention(*parts)
        found: torch.Tensor = self.out_proj(answer.transpose(1, 2).reshape(batch, length, -1))
        return found


class Block(nn.Module):
    def __init__(self, as_tuple: bool) -> None:
        super().__init__()
        self.attention, self.up, self.down = SelfAttention(), nn.Linear(WIDTH, 24), nn.Linear(24, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.as_tuple = as_tuple

    def forward(self, tokens: torch.Tensor) -> Any:
        tokens = tokens + self.attention(tokens)
        tokens = self.norm(tokens + self.down(torch.relu(self.up(tokens))))
        return (tokens, None) if self.as_tuple else tokens


class Encoder(nn.Module):
    """Blocks in a list, which answer with tuples or with tensors."""

    def __init__(self, as_tuple: bool = False) -> None:
        super().__init__()
        self.stem = nn.Linear(3, WIDTH)
        self.blocks = nn.ModuleList(Block(as_tuple) for _ in range(BLOCKS))
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = self.stem(tokens)
        for block in self.blocks:
            answer = block(tokens)
            tokens = answer[0] if isinstance(answer, tuple) else answer
        found: torch.Tensor = self.head(tokens.mean(1))
        return found


class Fused(nn.Module):
    """torch's own encoder, with its fused attention."""

    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 24, batch_first=batch_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.stem, self.head = nn.Linear(3, WIDTH), nn.Linear(WIDTH, 5)
        self.batch_first = batch_first

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = self.stem(tokens)
        if not self.batch_first:
            tokens = tokens.transpose(0, 1)
        found: torch.Tensor = self.head(self.encoder(tokens).mean(1 if self.batch_first else 0))
        return found


def model(module: nn.Module) -> ModuleModel:
    inputs = (TensorSpec(name="tokens", shape=("batch", "time", 3)),)
    return ModuleModel(module.eval(), Signature(inputs, (TensorSpec(name="scores"),)))


def seeded(make: Any, *arguments: Any) -> ModuleModel:
    torch.manual_seed(0)
    return model(make(*arguments))
