"""Second moments of few samples, brought nearer to those of activations that no sample has shown.

Of fewer samples than inputs, directions in which none of them points look free: GPTQ moves all errors there, AWQ lets
inputs that happened to be still go to pieces, and both answer worse than rounding to nearest. Ledoit and Wolf 2004
(Journal of Multivariate Analysis 88:365) mix S with m·1, where m is the mean of its diagonal, in the shares that are
nearest to the true moments to be expected: little of m·1 for many samples, all of it for one. Tokens of one sample are
alike, so samples are what counts, where there are several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .rounding import Floats


@dataclass
class Spread:
    """How far the second moments of single samples lie from each other, gathered piece by piece."""

    by_row: bool
    """Whether each row stands for itself: there is one sample only."""
    units: int = 0
    rows: int = 0
    squares: float = 0.0
    """Σ‖Xᵀ X‖² over units, X their rows."""
    sizes: float = 0.0
    """Σ of squared numbers of rows."""

    def add(self, rows: Floats, lengths: Sequence[int]) -> None:
        """Count rows [rows, inputs] of as many samples as there are `lengths`."""
        self.rows += len(rows)
        if self.by_row or len(lengths) == len(rows):
            self.units += len(rows)
            self.sizes += len(rows)
            self.squares += float((np.einsum("ij,ij->i", rows, rows).astype(np.float64) ** 2).sum())
            return
        self.units += len(lengths)
        self.sizes += float((np.asarray(lengths, np.float64) ** 2).sum())
        for part in np.split(rows, np.cumsum(lengths)[:-1]):
            self.squares += _square(part @ part.T if len(part) < part.shape[1] else part.T @ part)

    def shrink(self, second: Floats) -> float:
        """Change E[x xᵀ] of all rows in place; return the share of it that was kept."""
        places = np.arange(len(second))
        mean = float(second[places, places].mean(dtype=np.float64))
        length = _square(second)
        apart = length - mean**2 * len(second)
        shares = self.sizes / max(self.rows, 1) ** 2
        wrong = 1.0
        if 0 < shares < 1 and apart > 0:
            error = (self.squares / self.rows**2 - length * shares) / (1 - shares)
            wrong = min(max(error / apart, 0.0), 1.0)
        second *= np.float32(1 - wrong)
        second[places, places] += np.float32(wrong * mean)
        return 1 - wrong


def _square(matrix: Floats) -> float:
    """Return ‖M‖², summed in double precision."""
    return float(np.einsum("ij,ij->i", matrix, matrix).astype(np.float64).sum())
