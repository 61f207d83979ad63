"""Stage `finetune`."""

from __future__ import annotations

from ..base import Fraction
from .training import Training


class Finetune(Training):
    """Train the model on `compression.data.train` with `compression.objective`.

    The best epoch on validation data wins, if there is any.
    """

    label_smoothing: Fraction | None = None
    """Share of the target that is spread over all classes (Szegedy et al. 2016, arXiv:1512.00567, section 7). Loss
    CrossEntropy or CausalLM only. Default: none."""
