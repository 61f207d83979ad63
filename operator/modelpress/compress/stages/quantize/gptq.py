"""GPTQ: round one input after the other, and let the inputs to come make up for the error.

Frantar et al. 2023, arXiv:2210.17323, algorithm 1: the update is exact for the squared error of the layer's output on
calibration data, whose second moments H = E[x xᵀ] are all that it needs. Inputs are taken in the order of falling
activation (the authors' `act_order`); scales are fixed before (`static_groups`), so that groups stay runs of inputs.
"""

from __future__ import annotations

import numpy as np

from .rounding import Floats, Rounded, Scheme, fit, round_column

DAMPING = 0.01
"""Added to H's diagonal, in parts of its mean (section 3.3, step 3)."""
BLOCK = 128
"""Inputs after which the error is passed on to all that are left (section 3.3, step 2)."""


def gptq(rows: Floats, scheme: Scheme, second: Floats) -> Rounded:
    """Round [outputs, inputs] with the second moments [inputs, inputs] of the activations."""
    diagonal = np.diag(second).copy()
    grid = fit(rows, scheme, diagonal + diagonal.mean() * DAMPING, search=True)
    order = np.argsort(-diagonal, kind="stable")
    upper = _inverse_factor(second[np.ix_(order, order)])
    left = rows[:, order].astype(np.float32)
    codes = np.zeros(rows.shape, np.uint8)
    count = rows.shape[1]
    for start in range(0, count, BLOCK):
        end = min(start + BLOCK, count)
        errors = np.empty((len(rows), end - start), np.float32)
        for place in range(start, end):
            scale, zero = grid.column(int(order[place]))
            rounded = round_column(left[:, place], scale, zero, scheme)
            codes[:, order[place]] = rounded
            error = (left[:, place] - scale * (rounded - zero)) / upper[place, place]
            left[:, place:end] -= np.outer(error, upper[place, place:end])
            errors[:, place - start] = error
        left[:, end:] -= errors @ upper[start:end, end:]
    return Rounded(codes, grid)


def _inverse_factor(second: Floats) -> Floats:
    """Return the upper Cholesky factor of the damped inverse of H."""
    damped = second.astype(np.float64)
    places = np.arange(len(damped))
    mean = float(np.diag(damped).mean())
    damped[places, places] += DAMPING * mean if mean > 0 else 1.0
    inverse = np.linalg.inv(damped)
    inverse = (inverse + inverse.T) / 2
    return np.ascontiguousarray(np.linalg.cholesky(inverse).T).astype(np.float32)
