"""8-bit codes of weights whose products, added in pairs, fit 16 bits: every processor computes them exactly.

Activations are unsigned, weights beside them signed. x86 processors without VNNI multiply them for two inputs at once
and add both products in 16 bits (VPMADDUBSW), which overflow from 128.5 steps of weight on. Unsigned weights are exact
too, but with VNNI their kernel takes three times as long; weights of 7 bits, the usual way out ("reduce range"), lose a
bit everywhere. Here the scale of a channel grows until its own largest pair fits: by a third where weights are spread
evenly, by nothing where a single weight is the largest by far. Pure numpy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .rounding import Floats

Codes = NDArray[np.int8]
Order = NDArray[np.intp]
"""Inputs as a kernel takes them: the first two are a pair, the next two, and so on."""
GREATEST = 127
"""Steps that a pair may add up to."""


def round_pairs(weights: Floats, shape: tuple[int, ...], orders: Sequence[Order] = ()) -> tuple[Codes, Floats]:
    """Return codes of weights [..., inputs, outputs], and scales of that shape: for all, a leading slice, or a channel.

    In each of the orders (none given: as they stand) no pair of codes of one sign adds up to more than GREATEST: where
    both were rounded up to more, the one that gained more is rounded down. So rounding again changes nothing.
    """
    orders = orders or (np.arange(weights.shape[-2]),)
    largest = np.max([_largest(weights, order) for order in orders], axis=0)
    scales = np.asarray(_per_scale(largest, shape) / GREATEST, np.float32).reshape(shape)
    scales = np.where(scales > 0, scales, np.float32(1))
    exact = weights / _along(scales, weights.ndim)
    codes = np.round(exact)
    for order in orders:
        first, second = order[0:-1:2], order[1::2]
        left, right = codes[..., first, :], codes[..., second, :]
        for sign in (1, -1):
            over = np.maximum(sign * left, 0) + np.maximum(sign * right, 0) > GREATEST
            more = sign * (left - exact[..., first, :]) >= sign * (right - exact[..., second, :])
            left[over & more] -= sign
            right[over & ~more] -= sign
        codes[..., first, :], codes[..., second, :] = left, right
    return codes.astype(np.int8), scales


def convolution_matrix(weight: Floats) -> tuple[Floats, tuple[Order, Order]]:
    """Return a convolution's weight [outputs, inputs, *kernel] as [inputs * kernel, outputs], and its kernels' orders.

    One takes all places of a channel, then the next channel; the other all channels of a place, then the next place.
    """
    outputs, inputs = weight.shape[:2]
    matrix = weight.reshape(outputs, -1).T
    places = np.arange(len(matrix))
    return matrix, (places, places.reshape(inputs, -1).T.ravel())


def _largest(weights: Floats, order: Order) -> Floats:
    """Return the largest sum of a pair of one sign, [..., outputs]."""
    found = np.zeros((*weights.shape[:-2], weights.shape[-1]), np.float32)
    first, second = weights[..., order[0::2], :], weights[..., order[1::2], :]
    for sign in (1, -1):
        sums = np.maximum(sign * first, 0)
        sums[..., : second.shape[-2], :] += np.maximum(sign * second, 0)
        found = np.maximum(found, sums.max(-2))
    return found


def _per_scale(largest: Floats, shape: tuple[int, ...]) -> Floats:
    """Return the largest of those that share a scale."""
    leading = 0 if int(np.prod(shape)) == 1 else len(shape)
    return np.asarray(largest.max(tuple(range(leading, largest.ndim))))


def _along(scales: Floats, rank: int) -> Floats:
    """Return scales so that they can be multiplied with weights [..., inputs, outputs]."""
    if scales.size == 1:
        return scales.reshape(())
    of_channels = scales.ndim == rank - 1
    return np.expand_dims(scales, -2 if of_channels else (-2, -1))
