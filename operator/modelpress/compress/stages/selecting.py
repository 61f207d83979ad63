"""Which channels go: so many of each layer, or the least important of all. Pure, on importances alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch


def kept_of_layers(widths: Sequence[int], ratio: float) -> list[int]:
    """Return how many channels each layer keeps when each loses the same ratio; at least one."""
    return [max(1, round(width * (1 - ratio))) for width in widths]


def kept_of_all(importances: Sequence[torch.Tensor], ratio: float) -> list[int]:
    """Return how many channels each layer keeps when the least important of all go; the best of each layer stays."""
    best = [int(item.argmax()) for item in importances]
    rivals = torch.cat(
        [item.float().index_fill(0, torch.tensor(top), math.inf) for item, top in zip(importances, best, strict=True)]
    )
    count = min(round(len(rivals) * ratio), len(rivals) - len(importances))
    stays = torch.ones_like(rivals, dtype=torch.bool)
    stays[torch.topk(rivals, count, largest=False).indices] = False
    return [int(part.sum()) for part in torch.split(stays, [len(item) for item in importances])]


def rounded(kept: int, width: int, parts: int, multiple: int) -> int:
    """Return how many of `width` to keep in each of `parts` groups, so that all are the nearest multiple.

    A layer that has no such number below its width keeps all.
    """
    step = multiple // math.gcd(multiple, parts)
    return min(width, max(step, round(kept / step) * step))


def least(importance: torch.Tensor, kept: int, parts: int) -> list[int]:
    """Return the channels to remove: the same, least important ones in each group of a grouped layer."""
    chosen = torch.argsort(importance, stable=True)[: len(importance) - kept].tolist()
    return [index + part * len(importance) for part in range(parts) for index in chosen]
