"""Two thin layers in the place of one: a linear layer or convolution whose weight is a product of low rank."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from .layer_inputs import Layer
from .turned import as_linear, turned

SIZES: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("in_features", "in_channels", "kernel_size", "stride", "padding", "dilation", "groups"), "inner")
    | dict.fromkeys(("out_features", "out_channels"), "outer")
)
"""What a layer tells of its sizes, and which of the two tells it now."""


class Factorized(nn.Module):
    """`outer` after `inner`; what the one layer was, it still tells: its weight, its bias and its sizes."""

    def __init__(self, inner: nn.Module, outer: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.outer = outer

    @classmethod
    def of(cls, whole: Layer | Factorized, rank: int = 1) -> Factorized:
        """Return the place for factors of that rank, whose weights are still to be put in; the bias is the layer's."""
        if isinstance(whole, nn.Module) and turned(whole):
            whole = as_linear(whole)
        layer: Any = whole.inner if isinstance(whole, Factorized) else whole
        like = {"device": layer.weight.device, "dtype": layer.weight.dtype}
        biased = whole.bias is not None
        inner: nn.Module
        outer: Any
        if isinstance(layer, nn.Linear):
            inner = nn.Linear(layer.in_features, rank, bias=False, **like)
            outer = nn.Linear(rank, len(whole.weight), bias=biased, **like)
        else:
            kind: Any = nn.Conv1d if isinstance(layer, nn.Conv1d) else nn.Conv2d
            inner = kind(
                layer.in_channels,
                rank,
                layer.kernel_size,
                stride=layer.stride,
                padding=layer.padding,
                dilation=layer.dilation,
                padding_mode=layer.padding_mode,
                bias=False,
                **like,
            )
            outer = kind(rank, len(whole.weight), 1, bias=biased, **like)
        if whole.bias is not None:
            outer.bias.data.copy_(whole.bias.data)
        return cls(inner, outer).train(whole.training)

    def put(self, outer: torch.Tensor, inner: torch.Tensor) -> None:
        """Take over factors [outputs, rank] and [rank, inputs x positions of the kernel]."""
        with torch.no_grad():
            for layer, factor in ((self.outer, outer), (self.inner, inner)):
                weight: Any = layer.weight
                weight.copy_(factor.view_as(weight))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Answer as the one layer did, nearly; what it takes has the name that torch's layers give it."""
        answer: torch.Tensor = self.outer(self.inner(input))
        return answer

    def __getattr__(self, name: str) -> Any:
        """Return a size of the one layer, or what torch keeps by that name."""
        return getattr(getattr(self, SIZES[name]), name) if name in SIZES else super().__getattr__(name)

    @property
    def weight(self) -> torch.Tensor:
        """The weight of the one layer: code around a layer may look at it."""
        inner: Any = self.inner.weight
        outer: Any = self.outer.weight
        product: torch.Tensor = outer.flatten(1) @ inner.flatten(1)
        return product.view(len(outer), *inner.shape[1:])

    @property
    def bias(self) -> torch.Tensor | None:
        """The bias of the one layer."""
        bias: Any = self.outer.bias
        found: torch.Tensor | None = bias
        return found
