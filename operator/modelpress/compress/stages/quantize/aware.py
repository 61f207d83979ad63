"""Training a module as stage quantize will store it, so that what is trained is what is stored.

Jacob et al. 2018, arXiv:1712.05877, section 3: forward computes with rounded weights and, where activations have 8
bits, rounded inputs; gradients pass the rounding as if it were not there (Bengio et al. 2013, arXiv:1308.3432). Weights
are rounded by the functions that the stage rounds with, and stay rounded afterwards: rounding them again changes
nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from modelpress.api.reasons import Reason
from modelpress.api.stages import Quantize

from ...errors import Judged
from ...models import ModuleModel
from ..context import Context
from ..naming import matching
from ..turned import turned
from . import convolutions, integers
from .candidates import LEAST_ELEMENTS, LEAST_ROW, LEAST_WIDTH
from .pairs import convolution_matrix, round_pairs
from .rounding import Floats, nearest
from .scheme import Engine, engine, fixed_point, matrix_scheme, table_bits, table_scheme, weights
from .symmetric import others, symmetric

Rounding = Callable[[Floats], Floats]
"""Weights of a layer → the weights that they are stored as."""
TRANSPOSED = nn.modules.conv._ConvTransposeNd
CONVOLUTIONS = (nn.modules.conv._ConvNd,)
TABLES = (nn.Embedding, nn.EmbeddingBag)
WEIGHT = "weight"
ORIGINAL = f"parametrizations.{WEIGHT}.original"
"""What torch calls a weight that it computes another from."""
COMPUTED = "compute their weights (weight_norm, say)"
SHARED = "share their weights"
"""Why a layer is not trained as it will be stored, after its name."""
LEVELS = 255
"""Steps of an 8-bit activation."""


@contextlib.contextmanager
def rounded(model: ModuleModel, settings: Quantize, context: Context) -> Iterator[None]:
    """Have the module compute as if it were quantized by `settings`; afterwards its weights lie on their grids.

    Matrices, convolutions and embeddings, but those whose weights another layer shares, or that are computed; a warning
    names those. Raises Judged with StageFailed if there is none.
    """
    roundings, others = _roundings(model.module, settings)
    left = "; ".join(f"{', '.join(names)} {why}" for why, names in others.items())
    if not roundings:
        raise Judged(
            Reason.STAGE_FAILED,
            "quantizationAware found no layer that the quantize stage will store in fewer bits and that can be trained "
            f"so ({left or 'look at its targets and ignore'}): leave quantizationAware out.",
        )
    layers = {name: model.module.get_submodule(name) for name in roundings}
    names = {f"{name}.{WEIGHT}": f"{name}.{ORIGINAL}" for name in layers}
    with contextlib.ExitStack() as stack:
        for name, layer in layers.items():
            parametrize.register_parametrization(layer, WEIGHT, _Rounded(roundings[name]))
            stack.callback(parametrize.remove_parametrizations, layer, WEIGHT)  # leaves the rounded weights
            if engine(settings) is not Engine.GROUPS and not isinstance(layer, TABLES):
                stack.callback(layer.register_forward_pre_hook(_rounded_inputs).remove)
        stack.callback(_rename, model, {new: old for old, new in names.items()})
        _rename(model, names)
        yield
    context.notes.append(f"Layers trained with their weights as quantize stores them: {len(layers)}.")
    if left:
        context.warnings.append(
            f"quantizationAware knew nothing of the rounding of some layers, which quantize will round all the same: "
            f"{left}. Name them in quantize.ignore if that costs too much."
        )


def _rename(model: ModuleModel, names: Mapping[str, str]) -> None:
    """Have masks follow parameters that are called otherwise."""
    model.masks = {names.get(name, name): mask for name, mask in model.masks.items()}


def _roundings(module: nn.Module, settings: Quantize) -> tuple[dict[str, Rounding], dict[str, list[str]]]:
    """Return how layers will be quantized, by name; and those that cannot be trained so, by the reason."""
    layers = {name: layer for name, layer in module.named_modules() if name and _nodes(name, layer)}
    nodes = {node: name for name, layer in layers.items() for node in _nodes(name, layer)}
    chosen = _chosen(settings.targets, nodes) if settings.targets else set(layers)
    chosen -= _chosen(settings.ignore or (), nodes)
    counts: dict[int, int] = {}
    for _, parameter in module.named_parameters(remove_duplicate=False):
        counts[id(parameter)] = counts.get(id(parameter), 0) + 1
    found: dict[str, Rounding] = {}
    left: dict[str, list[str]] = {}
    for name in (item for item in layers if item in chosen):
        weight, rounding = layers[name].weight, _rounding(name, layers[name], settings, nodes)
        if rounding is None:
            continue
        if not isinstance(weight, nn.Parameter):
            left.setdefault(COMPUTED, []).append(name)
        elif counts[id(weight)] > 1:
            left.setdefault(SHARED, []).append(name)
        else:
            found[name] = rounding
    return found, left


def _nodes(name: str, layer: nn.Module) -> list[str]:
    """Return what the exported graph may call the node of a layer; nothing for a layer of another kind."""
    if isinstance(layer, nn.Linear) or turned(layer):
        return [f"{name}.MatMul", f"{name}.Gemm"]
    if isinstance(layer, CONVOLUTIONS):
        return [f"{name}.ConvTranspose" if isinstance(layer, TRANSPOSED) else f"{name}.Conv"]
    return [f"{name}.Gather"] if isinstance(layer, TABLES) else []


def _chosen(patterns: Any, nodes: dict[str, str]) -> set[str]:
    return {nodes[node] for pattern in patterns for node in matching(pattern, nodes, nested=True)}


def _rounding(name: str, layer: Any, settings: Quantize, nodes: dict[str, str]) -> Rounding | None:
    """Return how the weights of a layer are stored, None if they stay as they are."""
    if isinstance(layer, CONVOLUTIONS):
        return _of_convolution(layer, settings)
    shape = layer.weight.shape[::-1] if turned(layer) else layer.weight.shape
    rounding = _of_matrix(name, layer, shape, settings, nodes)
    if rounding is None or not turned(layer):
        return rounding
    return lambda values: np.ascontiguousarray(rounding(np.ascontiguousarray(values.T)).T)


def _of_matrix(
    name: str, layer: nn.Module, shape: Sequence[int], settings: Quantize, nodes: dict[str, str]
) -> Rounding | None:
    """Return how a matrix or a table of this shape, [outputs, inputs], is stored."""
    table = isinstance(layer, TABLES)
    if engine(settings) is not Engine.GROUPS and not (table and table_bits(settings)):
        each = integers.per_channel(settings) and not table
        return _in_pairs(each=each) if _paired(settings) and not table else _in_8_bits(0 if each else None, settings)
    rows, width = shape
    if rows * width < LEAST_ELEMENTS or width < (LEAST_ROW if table else LEAST_WIDTH):
        return None
    given = weights(settings)
    bits = settings.embeddings.bits if settings.embeddings is not None else given.bits
    for override in settings.overrides or ():
        if name in _chosen(override.targets, nodes):
            given, bits = override.weights, override.weights.bits
    scheme = table_scheme(bits, width, settings) if table else matrix_scheme(given, width, settings)
    return lambda values: nearest(values, scheme).widened()


def _of_convolution(layer: Any, settings: Quantize) -> Rounding | None:
    static, transposed = engine(settings) is Engine.STATIC, isinstance(layer, TRANSPOSED)
    if not static and layer.weight.numel() < convolutions.LEAST_ELEMENTS:
        return None
    each = engine(settings) is Engine.GROUPS or integers.per_channel(settings)
    if static and _paired(settings) and not transposed:
        return _in_pairs(each=each)
    return _in_8_bits(int(transposed) if each else None, settings)


def _paired(settings: Quantize) -> bool:
    """Whether products are of unsigned activations."""
    return engine(settings) is not Engine.GROUPS and not fixed_point(settings)


def _in_8_bits(axis: int | None, settings: Quantize) -> Rounding:
    def rounding(values: Floats) -> Floats:
        codes, scales = symmetric(values, others(values.ndim, axis), fixed_point=fixed_point(settings))
        return np.asarray(codes * scales, np.float32)

    return rounding


def _in_pairs(*, each: bool) -> Rounding:
    """Return how weights [outputs, inputs, *kernel] are stored that meet unsigned activations."""

    def rounding(values: Floats) -> Floats:
        matrix, orders = convolution_matrix(values)
        codes, scales = round_pairs(matrix, (len(values),) if each else (), orders)
        return np.asarray((codes * scales).T.reshape(values.shape), np.float32)

    return rounding


class _Rounded(nn.Module):
    """Computes the weights that a layer acts with from those that are trained."""

    def __init__(self, rounding: Rounding) -> None:
        super().__init__()
        self.rounding = rounding

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the rounded weights; their gradient is that of `weight`."""
        return torch.as_tensor(_Straight.apply(weight, self.rounding))  # type: ignore[no-untyped-call]


class _Straight(torch.autograd.Function):
    """Rounds forwards, and does nothing backwards."""

    @staticmethod
    def forward(_context: Any, weight: torch.Tensor, rounding: Rounding) -> torch.Tensor:
        return torch.from_numpy(rounding(weight.detach().cpu().float().numpy())).to(weight)

    @staticmethod
    def backward(_context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient, None


def _rounded_inputs(_layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Round what a layer takes to 8 bits over the range of this batch, zero among the codes."""
    if not inputs:  # given by name
        return inputs
    first, *rest = inputs
    values = first.detach()
    low, high = values.min().clamp(max=0), values.max().clamp(min=0)
    scale = ((high - low) / LEVELS).clamp(min=torch.finfo(values.dtype).tiny)
    zero = torch.round(-low / scale)
    codes = (torch.round(values / scale) + zero).clamp(0, LEVELS)
    return (first + ((codes - zero) * scale - values), *rest)
