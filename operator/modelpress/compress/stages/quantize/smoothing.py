"""SmoothQuant: outliers of activations are moved into weights before both are rounded to 8 bits.

Xiao et al. 2023, arXiv:2211.10438, section 4, equation 4: s = max|x|^alpha / max|w|^(1 - alpha) for each input channel;
activations are divided by s and weights multiplied. Here alpha is searched for each activation: the one with the
least error to be expected of rounding both to 8 bits, from what calibration data reach. The division goes into the
normalization that made the activation, where nothing else takes that; otherwise it is an operator of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ... import external, graph
from ...external import Spool
from ...models import GraphModel
from ..context import Context
from .activations import Ranges, ranges
from .candidates import Candidate, find
from .rounding import Floats

ALPHAS = tuple(step / 20 for step in range(1, 20))
WORTH = 0.3
"""An operator of its own must leave at most so much of the expected error."""
NORMALIZATIONS = ("LayerNormalization", "Mul")
"""Operators whose second input scales channels: what is divided can be divided there. RMS normalization ends in Mul."""
SUFFIX = "_smoothed"
STEPS = 255
"""Of an 8-bit activation; a symmetric weight has 127 to each side."""


@dataclass(frozen=True)
class Group:
    """Products that take the same activation."""

    activation: str
    products: tuple[Candidate, ...]


def smooth(model: GraphModel, chosen: set[str], context: Context) -> GraphModel:
    """Return the graph with activations divided and weights multiplied; it answers as before, but for rounding.

    `chosen`: nodes that will be quantized. Says in a note how many activations were smoothed.
    """
    data = context.calibration()
    if data is None:
        raise ValueError("no calibration data and no training data")
    proto = graph.load(model.path)
    groups = _groups(proto, chosen)
    reached = ranges(model.path, {item.activation: item.products[0].shape[1] for item in groups}, data, model.signature)
    smoother = _Smoother(proto, Spool(context.scratch / "smoothed.spool"))
    for group in groups:
        smoother.apply(group, reached[group.activation])
    smoother.end()
    context.notes.append(
        f"Activations whose outliers moved into weights: {smoother.done} of {len(groups)}, {smoother.folded} of them "
        "inside a normalization."
    )
    target = replace(model, path=context.scratch / "smoothed" / "model.onnx")
    bare = target.path.with_name("bare.onnx")
    graph.save(proto, bare)
    onnx.shape_inference.infer_shapes_path(str(bare), str(target.path))
    bare.unlink()
    return target


def _groups(proto: Any, chosen: set[str]) -> list[Group]:
    """Return products whose weights nobody else takes, by activation, in order."""
    takers = graph.consumers(proto)
    found: dict[str, list[Candidate]] = {}
    for item in find(proto):
        if not item.embedding and item.name in chosen and len(takers[item.weight]) == 1:
            found.setdefault(item.activation, []).append(item)
    return [Group(name, tuple(items)) for name, items in found.items()]


def factors(reached: Ranges, matrices: Sequence[Floats]) -> tuple[Floats, float]:
    """Return what to divide each input by, and which share of the expected error is left by it.

    `matrices`: weights [outputs, inputs] that are multiplied with the activation.
    """
    weight = np.concatenate(matrices).astype(np.float64)
    most, largest = np.maximum(-reached.low, reached.high), np.abs(weight).max(0)
    live = (most > 0) & (largest > 0)
    whole = expected_error(reached, weight, np.ones(len(most)))
    best, least = np.ones(len(most)), whole
    for alpha in ALPHAS:
        scale = np.ones(len(most))
        scale[live] = most[live] ** alpha / largest[live] ** (1 - alpha)
        scale[live] /= np.exp(np.log(scale[live]).mean()) if live.any() else 1.0
        error = expected_error(reached, weight, scale)
        if error < least:
            best, least = scale, error
    return best.astype(np.float32), least / whole if whole else 1.0


def expected_error(reached: Ranges, weight: Floats, scale: Floats) -> float:
    """Return E‖y' - y‖² of one vector, were rounding errors even and independent, for inputs divided by `scale`.

    Activations have one range for all, weights one for each output.
    """
    scaled = weight * scale
    step = ((reached.high / scale).max() - (reached.low / scale).min()) / STEPS
    steps = np.abs(scaled).max(1) / (STEPS // 2)
    of_activations = step**2 * np.square(scaled).sum()
    of_weights = np.square(steps).sum() * (reached.square / scale**2).sum()
    return float(of_activations + of_weights) / 12


class _Smoother:
    """Changes one graph in place."""

    def __init__(self, proto: Any, spool: Spool) -> None:
        self.proto = proto
        self.spool = spool
        self.initializers = {item.name: item for item in proto.graph.initializer}
        self.nodes = {node.name: node for node in proto.graph.node}
        self.makers = {name: node for node in proto.graph.node for name in node.output}
        self.takers = graph.consumers(proto)
        self.made: dict[str, Any] = {}
        """New nodes, by the name of the one that each comes before."""
        self.done = self.folded = 0

    def apply(self, group: Group, reached: Ranges) -> None:
        """Smooth one activation, if that is worth it."""
        rows = [item.rows(self.initializers) for item in group.products]
        scale, left = factors(reached, rows)
        held = self._channel_scales(group)
        if left > (1.0 if held else WORTH) or np.all(scale == 1):
            return
        for item, values in zip(group.products, rows, strict=True):
            self._set(item.weight, item.as_stored(values * scale))
        if held:
            for name in held:
                self._set(name, external.array(self.initializers[name]) / scale)
            self.folded += 1
        else:
            self._divide(group, scale)
        self.done += 1

    def end(self) -> None:
        """Put the new nodes where they belong."""
        nodes = [new for node in self.proto.graph.node for new in (self.made.get(node.name), node) if new is not None]
        graph.replace_nodes(self.proto, nodes)

    def _channel_scales(self, group: Group) -> list[str]:
        """Return the weights of the normalization that makes an activation for this group alone; none otherwise."""
        maker = self.makers.get(group.activation)
        width = group.products[0].shape[1]
        if (
            maker is None
            or maker.op_type not in NORMALIZATIONS
            or len(self.takers[group.activation]) > len(group.products)
        ):
            return []
        held = [name for name in maker.input[1:] if name]
        if maker.op_type == "Mul" and maker.input[0] in self.initializers:
            held = [maker.input[0]]
        fits = all(
            name in self.initializers and list(self.initializers[name].dims) == [width] and len(self.takers[name]) == 1
            for name in held
        )
        return held if fits else []

    def _divide(self, group: Group, scale: Floats) -> None:
        """Put a product with 1 / scale between an activation and who takes it here."""
        first = self.nodes[group.products[0].name]
        output, constant = f"{first.name}{SUFFIX}", f"{first.name}{SUFFIX}_factors"
        self.proto.graph.initializer.append(numpy_helper.from_array((1 / scale).astype(np.float32), constant))
        self.made[first.name] = helper.make_node("Mul", [group.activation, constant], [output], name=output)
        for item in group.products:
            node = self.nodes[item.name]
            node.input[list(node.input).index(group.activation)] = output

    def _set(self, name: str, values: Floats) -> None:
        tensor = self.spool.tensor(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        self.initializers[name].CopyFrom(tensor)
