"""An attention that stands where nn.MultiheadAttention stood and has fewer heads than its width has room for.

nn.MultiheadAttention itself demands that its heads together are as wide as what it is given.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional


class FewerHeads(nn.Module):
    """Scaled dot-product attention with the interface of nn.MultiheadAttention (Vaswani et al. 2017, section 3.2)."""

    INSIDE: ClassVar[tuple[str, ...]] = ("query", "key", "value")
    in_proj_bias: ClassVar[None] = None
    """nn.TransformerEncoderLayer reads it, and leaves its fused path alone where there is none."""
    in_proj_weight: ClassVar[None] = None
    _qkv_same_embed_dim: ClassVar[bool] = False

    def __init__(
        self, layers: dict[str, nn.Linear], out: nn.Linear, heads: int, dropout: float, batch_first: bool
    ) -> None:
        super().__init__()
        self.query, self.key, self.value = (layers[name] for name in self.INSIDE)
        self.out_proj = out
        self.num_heads = self.once = heads
        self.kept = list(range(heads))
        """Which of the heads that there were once are left, so that masks made for all of them still fit."""
        self.head_dim = layers["query"].out_features // heads
        self.dropout = dropout
        self.batch_first = batch_first

    @classmethod
    def of(cls, attention: nn.MultiheadAttention) -> FewerHeads:
        """Return the same attention, heads not yet removed, with weights of its own."""
        width = attention.embed_dim
        if attention.in_proj_weight is not None:
            weights = list(torch.split(attention.in_proj_weight.detach(), width))
        else:
            weights = [getattr(attention, f"{letter}_proj_weight").detach() for letter in ("q", "k", "v")]
        biases = (
            [None] * 3 if attention.in_proj_bias is None else list(torch.split(attention.in_proj_bias.detach(), width))
        )
        layers = {name: _linear(weight, bias) for name, weight, bias in zip(cls.INSIDE, weights, biases, strict=True)}
        out = _linear(
            attention.out_proj.weight.detach(), None if (bias := attention.out_proj.bias) is None else bias.detach()
        )
        made = cls(layers, out, attention.num_heads, attention.dropout, bool(attention.batch_first))
        return made.train(attention.training)

    def inside(self, name: str) -> nn.Linear:
        """Return the layer for query, key or value."""
        layer: nn.Linear = getattr(self, name)
        return layer

    def keep(self, stay: list[int]) -> None:
        """Keep some heads, in place."""
        for name in self.INSIDE:
            keep_rows(self.inside(name), stay, self.num_heads)
        keep_columns(self.out_proj, stay, self.num_heads)
        self.num_heads = len(stay)
        self.kept = [self.kept[index] for index in stay]

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Take and give what nn.MultiheadAttention does: (batch, tokens, width) if batch_first, else tokens first."""
        single = query.dim() == 2
        if single:
            query, key, value = (item.unsqueeze(0) for item in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = (item.transpose(0, 1) for item in (query, key, value))
        left, right, given = (
            layer(item).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
            for layer, item in ((self.query, query), (self.key, key), (self.value, value))
        )
        scores = left @ right.transpose(-1, -2) / math.sqrt(self.head_dim)
        if attn_mask is not None:
            scores = scores + _additive(self._by_head(attn_mask, len(query)), scores.dtype)
        if key_padding_mask is not None:
            scores = scores + _additive(key_padding_mask, scores.dtype)[:, None, None, :]
        weights = functional.dropout(scores.softmax(-1), self.dropout, self.training)
        result: torch.Tensor = self.out_proj((weights @ given).transpose(1, 2).flatten(2))
        if single:
            result, weights = result.squeeze(0), weights.squeeze(0)
        elif not self.batch_first:
            result = result.transpose(0, 1)
        if not need_weights:
            return result, None
        return result, weights.mean(-3) if average_attn_weights else weights

    def _by_head(self, mask: torch.Tensor, batch: int) -> torch.Tensor:
        """Return a mask as (tokens, tokens), or as (batch, heads, tokens, tokens) where it differs by head."""
        if mask.dim() == 2:
            return mask
        several = mask.view(batch, -1, *mask.shape[1:])
        return several if several.shape[1] == self.num_heads else several[:, self.kept]


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, weight.device, weight.dtype)
    layer.weight = nn.Parameter(weight.clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.clone())
    return layer


def _additive(mask: torch.Tensor, dtype: Any) -> torch.Tensor:
    """Return a mask to be added to scores: a truth value says what may not be looked at."""
    if mask.dtype is not torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, -math.inf)


def keep_rows(layer: nn.Linear, stay: list[int], heads: int) -> None:
    """Keep the outputs of some heads, in place."""
    indexes = _expanded(stay, layer.out_features // heads, layer.weight.device)
    layer.weight = nn.Parameter(layer.weight.detach()[indexes].clone())
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias.detach()[indexes].clone())
    layer.out_features = len(indexes)


def keep_columns(layer: nn.Linear, stay: list[int], heads: int) -> None:
    """Keep what is taken from some heads, in place."""
    indexes = _expanded(stay, layer.in_features // heads, layer.weight.device)
    layer.weight = nn.Parameter(layer.weight.detach()[:, indexes].clone())
    layer.in_features = len(indexes)


def _expanded(stay: list[int], width: int, device: torch.device) -> torch.Tensor:
    starts = torch.tensor(stay, device=device)[:, None] * width
    return (starts + torch.arange(width, device=device)).flatten()
