"""A small decoder language model over characters: causal self-attention, learned positions."""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    """Attention to what came before, then two dense layers; each after a normalization, each added."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.dense = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, text: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
        """Turn (batch, sequence, width) into the same; `later` (sequence, sequence) is true where a key is hidden."""
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.query_key_value(self.first(text)).chunk(3, -1)
        )
        weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).masked_fill(later, -1e4).softmax(-1)
        text = text + self.out((weights @ value).transpose(1, 2).flatten(2))
        return text + self.dense(self.second(text))


class LanguageModel(nn.Module):
    """Scores of the next character, at every position."""

    def __init__(self, characters: int, longest: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.characters, self.positions = nn.Embedding(characters, width), nn.Embedding(longest, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, characters)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Turn characters (batch, sequence), at most `longest`, into scores (batch, sequence, characters)."""
        place = torch.arange(input_ids.shape[1], device=input_ids.device)
        text = self.characters(input_ids) + self.positions(place)
        for block in self.blocks:
            text = block(text, place[None, :] > place[:, None])
        return self.head(self.norm(text))


def build(characters: int = 128, longest: int = 128, width: int = 96, heads: int = 4, layers: int = 3) -> nn.Module:
    """Return an untrained model; `source.entrypoint` names this function."""
    return LanguageModel(characters, longest, width, heads, layers)
