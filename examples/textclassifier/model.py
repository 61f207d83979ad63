"""A text classifier: embeddings, one layer of self-attention, the mean over the words of a text."""

from __future__ import annotations

import torch
from torch import nn


class Classifier(nn.Module):
    """Texts of any length; word 0 fills up shorter ones and is not looked at."""

    def __init__(self, vocabulary: int, width: int, heads: int, classes: int) -> None:
        super().__init__()
        self.heads = heads
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.query_key_value, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(0.3)
        self.head = nn.Linear(width, classes)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """Turn numbers of words (batch, sequence) into scores (batch, classes)."""
        real = (words != 0).unsqueeze(-1)
        text = self.dropout(self.embedding(words))
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.query_key_value(text).chunk(3, -1)
        )
        weights = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        weights = weights.masked_fill(~real[:, None, None, :, 0], -1e4).softmax(-1)
        text = self.norm(text + self.out((weights @ value).transpose(1, 2).flatten(2)))
        share = real.to(text.dtype)
        return self.head(self.dropout((text * share).sum(1) / share.sum(1).clamp(min=1)))


def build(vocabulary: int = 3000, width: int = 64, heads: int = 4, classes: int = 7) -> nn.Module:
    """Return an untrained classifier; `source.entrypoint` names this function."""
    return Classifier(vocabulary, width, heads, classes)
