"""How far answers are from those wanted, one function for each `match` of distill.

Logits: Hinton et al. 2015, arXiv:1503.02531, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch.nn import functional

from modelpress.api.stages import Match

LEAST_SPREAD = 1e-4
"""Least variance by the mean square: an error of a hundredth counts as much as anything, whatever varies less."""


def divergence(got: torch.Tensor, wanted: torch.Tensor, temperature: float, axis: int) -> torch.Tensor:
    """Return the mean Kullback-Leibler divergence of the softened scores of classes, which `axis` counts.

    It is multiplied by the square of the temperature, so that gradients keep their size.
    """
    student = functional.log_softmax(got / temperature, axis)
    teacher = functional.log_softmax(wanted / temperature, axis)
    each = functional.kl_div(student, teacher, reduction="none", log_target=True).sum(axis)
    return each.mean() * temperature**2


def _mse(got: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(got, wanted)


def _cosine(got: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return (1 - functional.cosine_similarity(got, wanted, dim=-1)).mean()


MATCHES: Mapping[Match, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = MappingProxyType(
    {Match.MSE: _mse, Match.COSINE: _cosine}
)
"""(student's output, teacher's output) → mean loss."""
WHAT: Mapping[Match, str] = MappingProxyType(
    {Match.LOGITS: "scores of classes", Match.COSINE: "directions along the last axis", Match.MSE: "numbers"}
)


class Spread:
    """How much numbers that come in pieces vary about their mean."""

    def __init__(self) -> None:
        self.count, self.sum, self.squares = 0, 0.0, 0.0

    def add(self, values: torch.Tensor) -> None:
        """Take a piece in."""
        exact = values.double()
        self.count += exact.numel()
        self.sum += float(exact.sum())
        self.squares += float(exact.square().sum())

    def scale(self) -> float:
        """Return the variance, or a share of the mean square where numbers hardly vary; of zeros 1."""
        if not self.count or not math.isfinite(self.squares):
            return 1.0
        mean_square = self.squares / self.count
        variance = mean_square - (self.sum / self.count) ** 2
        return max(variance, LEAST_SPREAD * mean_square) or 1.0
