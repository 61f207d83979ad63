"""A recommender: tables of users and items, a bag of what the user liked before, and a few numbers beside them."""

from __future__ import annotations

import torch
from torch import nn


class Recommender(nn.Module):
    """Two answers for a pair of user and item: whether it will be clicked, and the rating it would get."""

    def __init__(self, users: int, items: int, numbers: int, width: int, hidden: int) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(users, width), nn.Embedding(items, width, padding_idx=0)
        self.liked = nn.EmbeddingBag(items, width, mode="mean", padding_idx=0)
        self.layers = nn.Sequential(
            nn.Linear(5 * width + numbers, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.click, self.rating = nn.Linear(hidden, 2), nn.Linear(hidden, 1)
        for table in (self.users, self.items, self.liked):
            nn.init.normal_(table.weight, std=0.1)

    def forward(
        self, user: torch.Tensor, item: torch.Tensor, history: torch.Tensor, numbers: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Take ids (batch), ids of items liked before (batch, length), 0 filling up, and numbers (batch, count)."""
        who, what, liked = self.users(user), self.items(item), self.liked(history)
        both = self.layers(torch.cat([who, what, liked, who * what, liked * what, numbers], 1))
        return {"click": self.click(both), "rating": self.rating(both)}


def build(users: int = 4000, items: int = 2000, numbers: int = 4, width: int = 32, hidden: int = 64) -> nn.Module:
    """Return an untrained recommender; `source.entrypoint` names this function."""
    return Recommender(users, items, numbers, width, hidden)
