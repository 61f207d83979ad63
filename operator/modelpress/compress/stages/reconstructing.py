"""Layers that lost inputs, fitted anew: by least squares, to what they answered before pruning, on calibration data.

He et al. 2017, arXiv:1707.06168, sections 3.1 and 3.2: one layer after the other in the order of forward, each from
what the pruned module gives it now, so that it makes up for what those before it lost, too. A ridge draws towards the
weights that are there, as strongly as does best on rows that were not fitted: few samples fit nearly anything, and say
little of others. Runs tenants' code (forward).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ..formats.entrypoint import Guard
from ..models import ModuleModel
from ..signature import Arrays
from . import layer_inputs
from .context import Context

RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
"""Of the mean square of a layer's inputs: what is tried, the least first."""
HELD_OUT = 5
"""One in so many rows is what ridges are tried on."""
ENOUGH = 4
"""Rows for each column; fewer are worth a warning."""


@dataclass(frozen=True)
class Kept:
    """Which inputs and outputs of a layer are left, by number."""

    inputs: torch.Tensor
    outputs: torch.Tensor


def kept_by(cut: Callable[[nn.Module], None], module: nn.Module) -> dict[str, Kept]:
    """Return what `cut` leaves of the layers that lose inputs by it, by name. It is tried on copies of the module.

    Weights of the copies are numbers of inputs, then of outputs: what is cut follows from importances, not weights.
    """
    inputs, outputs = _numbers_left(cut, module, 1), _numbers_left(cut, module, 0)
    return {
        name: Kept(inputs[name], outputs[name])
        for name, layer in layer_inputs.layers(module).items()
        if name in inputs and len(inputs[name]) < layer.weight.shape[1]
    }


def _numbers_left(cut: Callable[[nn.Module], None], module: nn.Module, axis: int) -> dict[str, torch.Tensor]:
    numbered = copy.deepcopy(module)
    with torch.no_grad():
        for layer in layer_inputs.layers(numbered).values():
            weight = layer.weight.transpose(axis, -1)
            weight.copy_(torch.arange(weight.shape[-1], dtype=weight.dtype).expand_as(weight))
    cut(numbered)
    return {
        name: layer.weight.detach().transpose(axis, -1).reshape(-1, layer.weight.shape[axis])[0].long()
        for name, layer in layer_inputs.layers(numbered).items()
    }


def reconstruct(before: nn.Module, model: ModuleModel, kept: Mapping[str, Kept], context: Context) -> None:
    """Fit layers in place. `before`: the module as it was; `kept`: what is left of its layers that lost inputs.

    Raises Judged with EntrypointFailed.
    """
    data = layer_inputs.data_of(context)
    with Guard(context.source, "forward on the calibration data"):
        first = _difference(before, model, data)
        order = [name for name in _called(model, data) if name in kept]
        least, layer = math.inf, ""
        for position, name in enumerate(order):
            rows = _fit(name, before, model, kept[name], data, context.seed)
            least, layer = min((least, layer), (rows, name))
            context.report(0.9 + 0.1 * position / len(order), f"{name} fitted to what it answered before")
        last = _difference(before, model, data)
    context.notes.append(
        f"Layers fitted anew to what they answered before: {len(order)}. On the calibration data the outputs are off "
        f"by {last:.1%} of their size; without it, by {first:.1%}."
    )
    if least < ENOUGH:
        context.warnings.append(
            f"Layers were fitted anew to few samples: {layer} to {least:.2g} rows (tokens, positions) for each number "
            "that it takes. Other data may be answered worse than the note says; bring at least "
            f"{math.ceil(ENOUGH / least)} times as many samples for calibration."
        )


def _called(model: ModuleModel, data: Arrays) -> list[str]:
    """Return the layers that forward calls, in order."""
    order: list[str] = []
    with ExitStack() as stack:
        for name, layer in layer_inputs.layers(model.module).items():
            stack.callback(layer.register_forward_hook(partial(_note, order, name)).remove)
        next(layer_inputs.side_by_side(model, [model.module], data))
    return list(dict.fromkeys(order))


def _note(order: list[str], name: str, *_: Any) -> None:
    order.append(name)


@dataclass
class Fit:
    """Least squares of some rows: the change of w that minimizes |missing rows - rows @ change|²."""

    square: torch.Tensor
    """rows' rows, [columns, columns]."""
    missing: torch.Tensor
    """rows' (what is wanted - what w answers), [columns, outputs]."""

    @classmethod
    def empty(cls, weight: torch.Tensor) -> Fit:
        """Return that of no rows, for weights [columns, outputs]."""
        return cls(weight.new_zeros(len(weight), len(weight)), torch.zeros_like(weight))

    def add(self, rows: torch.Tensor, missing: torch.Tensor) -> None:
        """Count rows [rows, columns], of which `missing` [rows, outputs] is not answered."""
        self.square += rows.T @ rows
        self.missing += rows.T @ missing

    def together(self, other: Fit) -> Fit:
        """Return that of the rows of both."""
        return Fit(self.square + other.square, self.missing + other.missing)

    def solve(self, ridge: float) -> torch.Tensor:
        """Return the change, drawn to none by `ridge`, [columns, outputs]."""
        square = self.square.clone()
        square.diagonal().add_(ridge * square.diagonal().mean().clamp(min=1e-9))
        solved: torch.Tensor = torch.linalg.solve(square, self.missing)
        return solved

    def error(self, change: torch.Tensor) -> float:
        """Return what a change makes of the squared error; below 0: it gets less."""
        return float((change * (self.square @ change - 2 * self.missing)).sum())


def best_change(fitted: Fit, held_out: Fit) -> torch.Tensor:
    """Return the fit to all rows with the ridge that does best on those held out; none if none does them good."""
    errors = {ridge: held_out.error(fitted.solve(ridge)) for ridge in RIDGES}
    best = min(RIDGES, key=errors.__getitem__)
    return fitted.together(held_out).solve(best) if errors[best] <= 0 else torch.zeros_like(fitted.missing)


def _fit(name: str, before: nn.Module, model: ModuleModel, kept: Kept, data: Arrays, seed: int) -> float:
    """Solve min |rows @ w - wanted|² + ridge |w - w₀|² for the weights, bias among them, and store them.

    Return how many rows there were for each column.
    """
    layer = layer_inputs.layers(model.module)[name]
    weight = layer.weight.detach().flatten(1).T.double()
    if layer.bias is not None:
        weight = torch.cat([weight, layer.bias.detach().double()[None]])
    fitted, held_out, total = Fit.empty(weight), Fit.empty(weight), 0
    with layer_inputs.watched(before, [name]) as wanted, layer_inputs.watched(model.module, [name]) as got:
        for inputs, _ in layer_inputs.side_by_side(model, [before, model.module], data):
            for (_, answer), (taken, _) in zip(wanted[name], got[name], strict=True):
                rows = layer_inputs.rows(layer, taken)
                some = layer_inputs.chosen(taken, len(rows), inputs, seed)
                rows = rows[some] if layer.bias is None else functional.pad(rows[some], (0, 1), value=1.0)
                missing = layer_inputs.answers(layer, answer)[some][:, kept.outputs] - rows @ weight.to(rows.dtype)
                # The last ones: rows of one sample lie side by side, and are alike.
                total += len(rows)
                last = len(rows) - len(rows) // HELD_OUT
                fitted.add(rows[:last], missing[:last])
                held_out.add(rows[last:], missing[last:])
            wanted[name].clear()
            got[name].clear()
    weight += best_change(fitted, held_out)
    count = layer.weight[0].numel()
    with torch.no_grad():
        layer.weight.copy_(weight[:count].T.reshape(layer.weight.shape))
        if layer.bias is not None:
            layer.bias.copy_(weight[count])
    return max(total, 1) / len(weight)


def _difference(before: nn.Module, model: ModuleModel, data: Arrays) -> float:
    """Return the root mean square difference of the outputs, relative to the outputs before."""
    off = size = 0.0
    for _, (wanted, got) in layer_inputs.side_by_side(model, [before, model.module], data):
        for one, other in zip(wanted, got, strict=True):
            if one.is_floating_point():
                off += float((one - other).double().square().sum())
                size += float(one.double().square().sum())
    return float((off / size) ** 0.5) if size else 0.0
