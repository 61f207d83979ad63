"""Groups of weights that share a scale: finding scales, rounding to codes, widening again. Pure numpy.

A matrix is held as rows of output channels, [outputs, inputs], and a group is a run of inputs of one row. Code c of a
group stands for scale * (c - zero). Symmetric groups have the middle code as their zero, and a signed scale, so that
the greatest weight uses the one code that the other side has not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Codes = NDArray[np.uint8]

SHRINKING = tuple(1 - step / 50 for step in range(21))
"""Fractions of a group's range that the search for the scale of least error tries: 1 to 0.6."""
HALF = np.finfo(np.float16)
ROWS = 4096
"""Rows that are looked at together: bounds memory."""


@dataclass(frozen=True)
class Scheme:
    """How the weights of one node are stored."""

    bits: int
    """4 or 8."""
    group: int
    """Weights that share a scale; a power of two from 16."""
    symmetric: bool = True
    half_scales: bool = True
    """Whether scales are stored in half precision, where they fit."""
    power_of_two: bool = False
    """Whether scales are powers of two."""

    @property
    def levels(self) -> int:
        """Number of codes."""
        return int(2**self.bits)

    @property
    def middle(self) -> int:
        """The code that stands for zero in a symmetric group."""
        return self.levels // 2


@dataclass(frozen=True)
class Grid:
    """Scales and zeros of all groups of a matrix, each [outputs, groups]."""

    scheme: Scheme
    scales: Floats
    zeros: Codes

    def column(self, index: int) -> tuple[Floats, Floats]:
        """Return scale and zero of every row at one input."""
        group = index // self.scheme.group
        return self.scales[:, group], self.zeros[:, group].astype(np.float32)


@dataclass(frozen=True)
class Rounded:
    """A matrix as codes, [outputs, inputs], and its grid."""

    codes: Codes
    grid: Grid

    def widened(self) -> Floats:
        """Return the weights that the codes stand for, [outputs, inputs]."""
        group, inputs = self.grid.scheme.group, self.codes.shape[1]
        scales = np.repeat(self.grid.scales, group, axis=1)[:, :inputs]
        zeros = np.repeat(self.grid.zeros.astype(np.float32), group, axis=1)[:, :inputs]
        return scales * (self.codes.astype(np.float32) - zeros)


def grouped(rows: Floats, group: int) -> Floats:
    """Return [outputs, groups, group]; the last group is filled up with zeros."""
    lacking = -rows.shape[1] % group
    padded = np.pad(rows, ((0, 0), (0, lacking))) if lacking else rows
    return padded.reshape(len(rows), -1, group)


def fit(rows: Floats, scheme: Scheme, importance: Floats | None = None, *, search: bool = False) -> Grid:
    """Return the grid of a matrix [outputs, inputs].

    Without `search` a group's range is that of its weights. With it the range is shrunk to where the squared error,
    weighted by `importance` [inputs], is least (Nagel et al. 2021, arXiv:2106.08295, section 3.1).
    """
    weights = None if importance is None else grouped(importance[None].astype(np.float32), scheme.group)
    parts = [
        _fit(grouped(rows[start : start + ROWS].astype(np.float32, copy=False), scheme.group), scheme, weights, search)
        for start in range(0, len(rows), ROWS)
    ]
    return Grid(scheme, np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))


def _fit(groups: Floats, scheme: Scheme, weights: Floats | None, search: bool) -> tuple[Floats, Codes]:
    low, high = np.minimum(groups.min(-1), 0), np.maximum(groups.max(-1), 0)
    scales, zeros = _affine(low, high, scheme)
    if not search:
        return scales, zeros
    least = np.full(scales.shape, np.inf, np.float32)
    for fraction in SHRINKING:
        tried, shifted = _affine(low * fraction, high * fraction, scheme)
        codes = _codes(groups, tried[..., None], shifted[..., None], scheme)
        errors = (groups - tried[..., None] * (codes - shifted[..., None].astype(np.float32))) ** 2
        error = (errors if weights is None else errors * weights).sum(-1)
        better = error < least
        least = np.where(better, error, least)
        scales, zeros = np.where(better, tried, scales), np.where(better, shifted, zeros)
    return scales, zeros


def _affine(low: Floats, high: Floats, scheme: Scheme) -> tuple[Floats, Codes]:
    """Return scales and zeros for ranges that contain zero."""
    if scheme.symmetric:
        extreme = np.where(-low > high, low, high)
        scales = _stored(np.where(extreme == 0, 1, extreme / -scheme.middle), scheme)
        return scales, np.full(low.shape, scheme.middle, np.uint8)
    scales = _stored(np.where(high == low, 1, (high - low) / (scheme.levels - 1)), scheme)
    zeros = np.clip(np.round(-low / scales), 0, scheme.levels - 1)
    return scales, zeros.astype(np.uint8)


def _stored(scales: Floats, scheme: Scheme) -> Floats:
    """Return scales as the file will hold them."""
    if scheme.power_of_two:
        scales = power_of_two(scales)
    if scheme.half_scales and fit_half(scales):
        return scales.astype(np.float16).astype(np.float32)
    return scales.astype(np.float32)


def power_of_two(scales: Floats) -> Floats:
    """Return the least powers of two that are no smaller, with the signs of the scales."""
    return np.asarray(np.sign(scales) * np.exp2(np.ceil(np.log2(np.abs(scales)))), np.float32)


def fit_half(scales: Floats) -> bool:
    """Whether half precision holds these scales to its full precision."""
    sizes = np.abs(scales)
    return bool(sizes.min() >= HALF.smallest_normal and sizes.max() <= HALF.max)


def _codes(values: Floats, scales: Floats, zeros: NDArray[np.generic], scheme: Scheme) -> Floats:
    return np.clip(np.round(values / scales) + zeros.astype(np.float32), 0, scheme.levels - 1)


def round_column(values: Floats, scale: Floats, zero: Floats, scheme: Scheme) -> Codes:
    """Return the nearest codes of one input of every row."""
    return _codes(values, scale, zero, scheme).astype(np.uint8)


def round_rows(rows: Floats, grid: Grid) -> Rounded:
    """Round every weight to its nearest code."""
    codes = np.empty(rows.shape, np.uint8)
    for start in range(0, len(rows), ROWS):
        part = slice(start, start + ROWS)
        groups = grouped(rows[part].astype(np.float32, copy=False), grid.scheme.group)
        found = _codes(groups, grid.scales[part, :, None], grid.zeros[part, :, None], grid.scheme)
        codes[part] = found.reshape(len(groups), -1)[:, : rows.shape[1]]
    return Rounded(codes, grid)


def nearest(rows: Floats, scheme: Scheme) -> Rounded:
    """Round to nearest on the range of each group: RTN."""
    return round_rows(rows, fit(rows, scheme))
