"""AWQ: inputs with large activations get a finer grid, by scaling weights up and activations down.

Lin et al. 2024, arXiv:2306.00978, section 3.2: s = E|x|^alpha, alpha from a grid search for the least squared error of
the layer's output, here from second moments, E‖x ΔW‖² = tr(ΔW H ΔWᵀ), without running the layer. The range of each
group is searched too (the authors' weight clipping).
"""

from __future__ import annotations

import numpy as np

from .rounding import Floats, Rounded, Scheme, fit, round_rows

ALPHAS = tuple(step / 20 for step in range(20))
"""Exponents that the search tries; 0 scales nothing."""


def awq(
    matrices: list[Floats], schemes: list[Scheme], second: Floats, magnitude: Floats
) -> tuple[list[Rounded], Floats]:
    """Round matrices [outputs, inputs] that take the same activations.

    Returns the rounded scaled matrices, and the factors [inputs] that activations are to be multiplied with.
    `second` [inputs, inputs] and `magnitude` [inputs] are E[x xᵀ] and E|x|.
    """
    best: tuple[float, list[Rounded], Floats] | None = None
    diagonal = np.diag(second)
    for alpha in ALPHAS:
        scale = _scale(magnitude, alpha)
        rounded = [
            round_rows(rows * scale, fit(rows * scale, scheme, diagonal / scale**2, search=True))
            for rows, scheme in zip(matrices, schemes, strict=True)
        ]
        error = sum(
            output_error(rows - item.widened() / scale, second) for rows, item in zip(matrices, rounded, strict=True)
        )
        if best is None or error < best[0]:
            best = (error, rounded, (1 / scale).astype(np.float32))
    assert best is not None
    return best[1], best[2]


def _scale(magnitude: Floats, alpha: float) -> Floats:
    scale = np.maximum(magnitude, 1e-4).astype(np.float32) ** np.float32(alpha)
    return np.asarray(scale / np.sqrt(scale.max() * scale.min()), np.float32)


def output_error(difference: Floats, second: Floats) -> float:
    """Return E‖x Dᵀ‖² for a difference D [outputs, inputs] of weights."""
    return float(((difference @ second) * difference).sum())
