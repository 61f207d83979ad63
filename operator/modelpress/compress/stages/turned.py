"""GPT-2's Linear, whose weight lies [inputs, outputs]."""

from __future__ import annotations

from torch import nn

KIND = "transformers.pytorch_utils.Conv1D"
"""Known by its name: its home takes seconds to import."""


def turned(layer: nn.Module) -> bool:
    """Whether it is such a layer."""
    return f"{type(layer).__module__}.{type(layer).__qualname__}" == KIND
