"""Scales of dynamic products, as wide as pairs of products need, so that every processor computes them exactly.

Activations whose ranges are found at run time are unsigned, weights beside them signed. x86 processors without VNNI
multiply them for two inputs at once and add both products in 16 bits (VPMADDUBSW), which overflow from 128.5 steps of
weight on. Unsigned weights are exact too, but with VNNI their kernel takes three times as long; weights of 7 bits, the
usual way out ("reduce range"), lose a bit everywhere. Here the scale of a channel grows until its own largest pair
fits: by a third where weights are spread evenly, by nothing where a single weight is the largest by far.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from ... import external
from ...external import Spool
from .fixed_point import SUFFIX
from .rounding import Floats

LSTM = MappingProxyType({1: 8, 2: 10})
"""Weights among the inputs of DynamicQuantizeLSTM, each with its scale."""
SCALE, TRANSPOSED = "_scale", re.compile(r"_Transposed(_\d+)?$")
"""What onnxruntime appends to a weight's name for its scale, and where it turned a Gemm into a MatMul."""
GREATEST = 127
"""Steps that a pair may add up to."""


def fit_pairs(proto: Any, floats: Mapping[str, Any], spool: Spool) -> None:
    """Change weights and their scales in place; large ones lie in the spool until the graph is saved.

    `floats`: the initializers of the graph before it was quantized, by name: weights are rounded anew from them.
    """
    tensors = {item.name: item for item in proto.graph.initializer}
    for weight in _weights(proto, floats):
        codes, scale = tensors[weight.name], tensors[weight.scale]
        if codes.data_type == TensorProto.INT8:
            values = external.array(floats[weight.source])
            matrix = values.swapaxes(-1, -2) if weight.turned else values
            rounded, scales = round_pairs(matrix, tuple(scale.dims))
            codes.CopyFrom(spool.tensor(numpy_helper.from_array(np.ascontiguousarray(rounded), codes.name)))
            scale.CopyFrom(numpy_helper.from_array(scales, scale.name))


def round_pairs(weights: Floats, shape: tuple[int, ...]) -> tuple[NDArray[np.int8], Floats]:
    """Return codes of weights [..., inputs, outputs], and scales of that shape, for a tensor, a slice or a channel.

    No two codes at inputs 2n and 2n + 1 of one channel that have the same sign add up to more than GREATEST: where both
    were rounded up to more, the one that gained more is rounded down. So rounding again changes nothing.
    """
    scales = np.asarray(_per_scale(_largest_pairs(weights), shape) / GREATEST, np.float32).reshape(shape)
    scales = np.where(scales > 0, scales, np.float32(1))
    exact = weights / _along(scales, weights.ndim)
    codes = np.round(exact)
    first, second = codes[..., 0:-1:2, :], codes[..., 1::2, :]
    gained, other = first - exact[..., 0:-1:2, :], second - exact[..., 1::2, :]
    for sign in (1, -1):
        over = np.maximum(sign * first, 0) + np.maximum(sign * second, 0) > GREATEST
        more = sign * gained >= sign * other
        first[over & more] -= sign
        second[over & ~more] -= sign
    return codes.astype(np.int8), scales


def _largest_pairs(weights: Floats) -> Floats:
    """Return the largest sum of two neighbours of one sign, [..., outputs]."""
    largest = np.zeros((*weights.shape[:-2], weights.shape[-1]), np.float32)
    first, second = weights[..., 0::2, :], weights[..., 1::2, :]
    for sign in (1, -1):
        sums = np.maximum(sign * first, 0)
        sums[..., : second.shape[-2], :] += np.maximum(sign * second, 0)
        largest = np.maximum(largest, sums.max(-2))
    return largest


def _per_scale(largest: Floats, shape: tuple[int, ...]) -> Floats:
    """Return the largest of those that share a scale: all, those of a leading slice, or of a channel."""
    leading = 0 if int(np.prod(shape)) == 1 else len(shape)
    return np.asarray(largest.max(tuple(range(leading, largest.ndim))))


def _along(scales: Floats, rank: int) -> Floats:
    """Return scales so that they can be multiplied with weights [..., inputs, outputs]."""
    if scales.size == 1:
        return scales.reshape(())
    of_channels = scales.ndim == rank - 1
    return np.expand_dims(scales, -2 if of_channels else (-2, -1))


@dataclass(frozen=True)
class _Weight:
    """A weight that meets unsigned activations."""

    name: str
    scale: str
    """Name of its scale."""
    source: str
    """What it is called in the graph in float."""
    turned: bool
    """Whether it is [outputs, inputs] there."""


def _weights(proto: Any, floats: Collection[str]) -> Iterator[_Weight]:
    """Yield every weight once."""
    seen = set()
    for node in proto.graph.node:
        products = (
            LSTM if node.op_type == "DynamicQuantizeLSTM" else {1: None} if node.op_type == "MatMulInteger" else {}
        )
        for place, scale in products.items():
            name = node.input[place]
            base = name.removesuffix(SUFFIX)
            source = base if base in floats else TRANSPOSED.sub("", base)
            if name not in seen:
                seen.add(name)
                turned = scale is not None or source != base
                yield _Weight(name, base + SCALE if scale is None else node.input[scale], source, turned)
