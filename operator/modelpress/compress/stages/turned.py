"""GPT-2's Linear, whose weight lies [inputs, outputs]."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from .sharing import layers_that_share

KIND = "transformers.pytorch_utils.Conv1D"
"""Known by its name: its home takes seconds to import."""


def turned(layer: nn.Module) -> bool:
    """Whether it is such a layer."""
    return f"{type(layer).__module__}.{type(layer).__qualname__}" == KIND


def as_linear(layer: Any) -> nn.Linear:
    """Return the torch layer that does the same, with the same weights, seen from the other side."""
    inputs, outputs = layer.weight.shape
    linear = nn.Linear(inputs, outputs, device="meta")
    linear.weight, linear.bias = nn.Parameter(layer.weight.detach().T), nn.Parameter(layer.bias.detach())
    return linear.train(layer.training)


@contextlib.contextmanager
def known_as_linear(module: nn.Module) -> Iterator[None]:
    """Have such layers be torch's for a while, where their weights are their own; those still there come back."""
    shared = layers_that_share(module)
    found = {
        name: (layer, as_linear(layer))
        for name, layer in module.named_modules()
        if name and turned(layer) and name not in shared and not parametrize.is_parametrized(layer)
    }
    for name, (_, linear) in found.items():
        _put(module, name, linear)
    try:
        yield
    finally:
        for name, (layer, linear) in found.items():
            if module.get_submodule(name) is linear:
                _put(module, name, layer)


def _put(root: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(root.get_submodule(parent), last, module)
