"""AWQ: inputs with large activations get a finer grid, by scaling weights up and activations down.

Lin et al. 2024, arXiv:2306.00978, section 3.2: s = E|x|^alpha, alpha from a grid search for the least squared error of
the layer's output, here from second moments, E‖x ΔW‖² = tr(ΔW H ΔWᵀ), without running the layer. With the
best alpha the range of each group is searched too (the authors' weight clipping).
"""

from __future__ import annotations

import numpy as np

from .rounding import Floats, Rounded, Scheme, fit, nearest, round_rows

ALPHAS = tuple(step / 20 for step in range(20))
"""Exponents that the search tries; 0 scales nothing."""


def awq(
    matrices: list[Floats], schemes: list[Scheme], second: Floats, magnitude: Floats
) -> tuple[list[Rounded], Floats]:
    """Round matrices [outputs, inputs] that take the same activations.

    Returns the rounded scaled matrices, and the factors [inputs] that activations are to be multiplied with.
    `second` [inputs, inputs] and `magnitude` [inputs] are E[x xᵀ] and E|x|.
    """
    pairs = list(zip(matrices, schemes, strict=True))

    def error(alpha: float) -> float:
        scale = _scale(magnitude, alpha)
        return sum(
            output_error(rows - nearest(rows * scale, scheme).widened() / scale, second) for rows, scheme in pairs
        )

    scale = _scale(magnitude, min(ALPHAS, key=error))
    importance = np.diag(second) / scale**2
    rounded = [round_rows(rows * scale, fit(rows * scale, scheme, importance, search=True)) for rows, scheme in pairs]
    return rounded, (1 / scale).astype(np.float32)


def _scale(magnitude: Floats, alpha: float) -> Floats:
    scale = np.maximum(magnitude, 1e-4).astype(np.float32) ** np.float32(alpha)
    return np.asarray(scale / np.sqrt(scale.max() * scale.min()), np.float32)


def output_error(difference: Floats, second: Floats) -> float:
    """Return E‖x Dᵀ‖² for a difference D [outputs, inputs] of weights."""
    return float(((difference @ second) * difference).sum())
