"""Products of low rank that are nearest to a matrix, and which rank each of several gets. Pure, on tensors alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

RIDGE = 1e-6
"""Of the mean square of the inputs: a direction that no input had costs next to nothing, but not nothing."""


@dataclass(frozen=True)
class Factors:
    """A matrix as the product of two, best direction first: of the first r, `outer[:, :r] @ inner[:r]` is rank r."""

    outer: torch.Tensor
    """[outputs, ranks]."""
    inner: torch.Tensor
    """[ranks, inputs]."""
    errors: tuple[float, ...]
    """Error of the answers at each rank from 0, relative to them: root of the mean squares."""
    held: int
    """Numbers that hold the matrix now: its own, or fewer if it is a product already."""

    def saved(self, rank: int) -> int:
        """Return how many numbers less the product of that rank has; 0 if it has no fewer."""
        return max(0, self.held - rank * (len(self.outer) + self.inner.shape[1]))


def factors(weight: torch.Tensor, square: torch.Tensor | None, held: int | None = None) -> Factors:
    """Return the factors of a weight [outputs, inputs] up to the greatest rank that saves numbers.

    `square`: X'X [inputs, inputs] of what is multiplied with it; None: all inputs count alike. With the Cholesky factor
    S of X'X the least ‖(W - W')S‖ is that of the singular values of WS (Wang et al. 2024, arXiv:2403.07378, section
    3.1). `held`: numbers that hold the weight now; None: its own.
    """
    held = weight.numel() if held is None else held
    matrix = weight.double()
    root = torch.eye(matrix.shape[1], dtype=matrix.dtype) if square is None else _root(square)
    left, values, right = torch.linalg.svd(matrix @ root, full_matrices=False)
    squares = values.square()
    whole = float(squares.sum())
    left_out = [float(squares[rank:].sum()) for rank in range(len(values))] + [0.0]
    useful = max(1, math.ceil(held / sum(matrix.shape)) - 1)
    scale = values[:useful].sqrt()
    inner = torch.linalg.solve_triangular(root, scale[:, None] * right[:useful], upper=False, left=False)
    return Factors(
        outer=(left[:, :useful] * scale).float(),
        inner=inner.float(),
        errors=tuple(math.sqrt(item / whole) if whole else 0.0 for item in left_out[: useful + 1]),
        held=held,
    )


def _root(square: torch.Tensor) -> torch.Tensor:
    """Return the lower Cholesky factor of finite X'X, made definite.

    Of inputs that are nearly all alike rounding leaves more than the ridge does: then a greater one is needed.
    """
    ridged = square.clone()
    ridge = RIDGE * square.diagonal().mean().clamp(min=1e-12)
    while True:
        ridged.diagonal().add_(ridge)
        found: torch.Tensor
        found, failed = torch.linalg.cholesky_ex(ridged)
        if not failed:
            return found
        ridge *= 10


def ranks_of(found: Mapping[str, Factors], rank_at: Callable[[Factors], int], multiple: int) -> dict[str, int]:
    """Return the rank of each matrix by a rule, rounded up to a multiple, where that saves numbers."""
    ranks = {name: math.ceil(rank_at(item) / multiple) * multiple for name, item in found.items()}
    return {name: rank for name, rank in ranks.items() if found[name].saved(rank) > 0}


def rank_within(error: float) -> Callable[[Factors], int]:
    """Return the rule: the least rank, 1 or more, whose error is no greater; the whole matrix where there is none."""

    def rule(item: Factors) -> int:
        return next((rank for rank, left in enumerate(item.errors) if rank and left <= error), item.held)

    return rule


def ranks_that_save(found: Mapping[str, Factors], parameters: int, multiple: int) -> dict[str, int] | None:
    """Return the ranks that together save so many numbers at the least error, the same for all; None if none do."""
    errors = sorted({error for item in found.values() for error in item.errors[1:]})
    low, high = 0, len(errors)
    while low < high:  # what is saved grows with the error
        middle = (low + high) // 2
        ranks = ranks_of(found, rank_within(errors[middle]), multiple)
        if sum(found[name].saved(rank) for name, rank in ranks.items()) >= parameters:
            high = middle
        else:
            low = middle + 1
    return ranks_of(found, rank_within(errors[low]), multiple) if low < len(errors) else None
