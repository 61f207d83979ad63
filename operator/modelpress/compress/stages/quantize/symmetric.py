"""Symmetric 8-bit codes with a scale per slice, as convolutions and recurrent layers are stored. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .rounding import Floats, power_of_two

Codes = NDArray[np.int8]
GREATEST = 127


def symmetric(values: Floats, axes: tuple[int, ...], *, fixed_point: bool = False) -> tuple[Codes, Floats]:
    """Return codes and their scales: what lies along `axes` shares one, and they are kept with length 1.

    `fixed_point`: scales are powers of two.
    """
    largest = np.abs(values).max(axis=axes, keepdims=True)
    scales = np.where(largest > 0, largest / GREATEST, 1).astype(np.float32)
    if fixed_point:
        scales = power_of_two(scales)
    return np.clip(np.round(values / scales), -GREATEST, GREATEST).astype(np.int8), scales


def others(rank: int, axis: int | None) -> tuple[int, ...]:
    """Return all axes but one; None: all of them."""
    return tuple(index for index in range(rank) if index != axis)
