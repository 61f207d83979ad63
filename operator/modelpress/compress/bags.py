"""nn.EmbeddingBag as lookups and a reduction, so that its table can be stored in fewer bits as any other.

Only for bags of one length, input [batch, length]; those with offsets are left to the exporter.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

BAG: Any = nn.EmbeddingBag
TORCHS = nn.EmbeddingBag.forward


@contextlib.contextmanager
def as_lookups() -> Iterator[None]:
    """Let bags look their rows up and reduce them while an export traces them."""
    BAG.forward = _forward
    try:
        yield
    finally:
        BAG.forward = TORCHS


def _forward(
    bag: nn.EmbeddingBag,
    input: torch.Tensor,
    offsets: torch.Tensor | None = None,
    per_sample_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return [batch, width]: the mean, sum or maximum of a bag's rows, padding left out; of an empty bag, zeros."""
    if input.dim() != 2 or bag.max_norm is not None:
        return TORCHS(bag, input, offsets, per_sample_weights)
    rows = functional.embedding(input, bag.weight)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    if bag.padding_idx is None:
        return rows.amax(1) if bag.mode == "max" else rows.sum(1) if bag.mode == "sum" else rows.mean(1)
    real = (input != bag.padding_idx).unsqueeze(-1)
    count = real.to(rows.dtype).sum(1)
    if bag.mode == "max":
        most = torch.where(real, rows, torch.finfo(rows.dtype).min).amax(1)
        return torch.where(count > 0, most, 0.0)
    total = torch.where(real, rows, 0.0).sum(1)
    return total if bag.mode == "sum" else total / count.clamp(min=1)
