"""What calibration data says about the activations that matrix products take: moments, and ranges by channel.

All activations of one piece of the data are held at a time, and moments of so many tensors that they fit a budget: data
is run through again for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from ... import graph
from ...signature import MASK, Array, Arrays, Signature
from ..portions import portions
from .calibration import Pieces
from .rounding import Floats
from .shrinkage import Spread

BUDGET = 512 * 2**20
"""Bytes of second moments that are gathered in one run through the data."""


@dataclass
class Moments:
    """Moments of one activation over its last axis."""

    second: Floats
    """E[x xᵀ], [inputs, inputs]; of few samples as much as they tell (`shrinkage`)."""
    magnitude: Floats
    """E|x|, [inputs]."""
    kept: float
    """The share of `second` that the samples told."""
    units: int
    """How many told it: samples, or rows of a single one."""


def collect(path: Path, widths: Mapping[str, int], data: Arrays, signature: Signature) -> dict[str, Moments]:
    """Return the moments of tensors inside a graph; `widths` are the sizes of their last axes."""
    found: dict[str, Moments] = {}
    for names in portions(widths, lambda name: widths[name] ** 2 * 4, BUDGET):
        found |= _collect(path, {name: widths[name] for name in names}, data, signature)
    return found


def _collect(path: Path, widths: Mapping[str, int], data: Arrays, signature: Signature) -> dict[str, Moments]:
    alone = len(next(iter(data.values()))) == 1
    sums = {name: np.zeros((width, width), np.float32) for name, width in widths.items()}
    magnitudes = {name: np.zeros(width, np.float64) for name, width in widths.items()}
    spreads = {name: Spread(by_row=alone) for name in widths}
    for name, rows, lengths in vectors(path, widths, data, signature):
        sums[name] += rows.T @ rows
        magnitudes[name] += np.abs(rows).sum(0)
        spreads[name].add(rows, lengths)
    found = {}
    for name, spread in spreads.items():
        count = max(spread.rows, 1)
        sums[name] /= count
        kept = spread.shrink(sums[name])
        found[name] = Moments(sums[name], (magnitudes[name] / count).astype(np.float32), kept, spread.units)
    return found


@dataclass
class Ranges:
    """What one activation reaches over its last axis, each [inputs]."""

    low: Floats
    high: Floats
    square: Floats
    """E[x²]."""


def ranges(path: Path, widths: Mapping[str, int], data: Arrays, signature: Signature) -> dict[str, Ranges]:
    """Return the ranges of tensors inside a graph, at padding too, which is rounded with the rest.

    `widths` are the sizes of their last axes.
    """
    found = {name: Ranges(np.zeros(width), np.zeros(width), np.zeros(width)) for name, width in widths.items()}
    counts = dict.fromkeys(widths, 0)
    for name, rows, _ in vectors(path, widths, data, signature, padding=True):
        found[name].low = np.minimum(found[name].low, rows.min(0))
        found[name].high = np.maximum(found[name].high, rows.max(0))
        found[name].square += np.square(rows, dtype=np.float64).sum(0)
        counts[name] += len(rows)
    for name, count in counts.items():
        found[name].square /= max(count, 1)
    return found


def vectors(
    path: Path, widths: Mapping[str, int], data: Arrays, signature: Signature, *, padding: bool = False
) -> Iterator[tuple[str, Floats, Sequence[int]]]:
    """Yield (tensor inside a graph, its vectors along its last axis as rows, how many each sample has) for each piece
    of the data.
    """
    proto = onnx.load(path, load_external_data=False)
    given = {item.name for item in [*proto.graph.output, *proto.graph.input]}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in widths if name not in given)
    probed = path.with_name("probed.onnx")
    onnx.save(proto, probed)
    session = graph.open_session(probed)
    names = [name for name in widths if name not in {item.name for item in proto.graph.input}]
    pieces = Pieces(data, signature)
    while (inputs := pieces.get_next()) is not None:
        samples = len(next(iter(inputs.values()))) if signature.batched else 1
        answers = session.run(names, inputs) if names else []  # asked for nothing, onnxruntime gives everything
        outputs = dict(zip(names, answers, strict=True))
        for name, width in widths.items():
            values = outputs[name] if name in outputs else inputs[name]
            yield name, *_rows(values, width, None if padding else inputs.get(MASK), samples)
    probed.unlink()


def _rows(values: Array, width: int, mask: Array | None, samples: int) -> tuple[Floats, list[int]]:
    """Return all vectors of an activation as rows, without those at padding if there is a mask, and how many of them
    each sample has; each row is taken for a sample where they are not of equal numbers.
    """
    rows = values.reshape(-1, width).astype(np.float32)
    if mask is not None and mask.shape == values.shape[:-1]:
        shown = mask != 0
        return np.asarray(rows[shown.reshape(-1)]), shown.reshape(len(shown), -1).sum(1).tolist()
    each, left = divmod(len(rows), samples)
    return rows, [1] * len(rows) if left else [each] * samples
