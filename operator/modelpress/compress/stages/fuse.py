"""Stage fuse on a torch module: batch normalization folded into the layer whose output it alone takes.

Pairs are found by watching one forward, so forward may be any code. Each fold is verified by the outputs and taken back
if they change: the layer's output may be used elsewhere, which watching cannot see.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from modelpress.api.stages import Fuse

from ..export import distance
from ..models import ModuleModel
from ..signature import Array, example
from .context import Context
from .sharing import layers_that_share

SAMPLES = 2
TOLERANCE = 1e-3
NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def run(model: ModuleModel, _settings: Fuse, context: Context) -> ModuleModel:
    """Fold what can be folded, in place; nothing to fold is worth a warning."""
    inputs = example(model.signature, SAMPLES, context.seed, context.calibration())
    expected = model.run(inputs)
    done: list[str] = []
    for layer_name, norm_name in pairs(model, inputs):
        layer, norm = model.module.get_submodule(layer_name), model.module.get_submodule(norm_name)
        fused = _fold(layer, norm)
        if fused is None:
            continue
        _put(model.module, layer_name, fused)
        _put(model.module, norm_name, nn.Identity())
        if _same(expected, model.run(inputs)):
            done.append(f"{norm_name} into {layer_name}")
        else:
            _put(model.module, layer_name, layer)
            _put(model.module, norm_name, norm)
            context.warnings.append(f"{norm_name} was not folded: the output of {layer_name} is used elsewhere too.")
    if done:
        model.refresh_masks()
        context.notes.append(f"Folded {len(done)}: {', '.join(done[:8])}{' …' if len(done) > 8 else ''}.")
    else:
        context.warnings.append("There was no batch normalization to fold.")
    return model


def pairs(model: ModuleModel, inputs: dict[str, Array]) -> list[tuple[str, str]]:
    """Return (layer, normalization) by name, where both are called once and one takes the other's very output."""
    produced: dict[int, str] = {}
    found: list[tuple[str, str]] = []
    count: dict[str, int] = {}
    alive: list[torch.Tensor] = []  # ids stay unique while the tensors live
    shared = layers_that_share(model.module)

    def watch(name: str) -> Any:
        def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            count[name] = count.get(name, 0) + 1
            if isinstance(module, NORMALIZATIONS) and arguments and id(arguments[0]) in produced:
                found.append((produced[id(arguments[0])], name))
            elif isinstance(module, (*CONVOLUTIONS, nn.Linear)) and isinstance(output, torch.Tensor):
                produced[id(output)] = name
                alive.append(output)

        return hook

    handles = [
        module.register_forward_hook(watch(name))
        for name, module in model.module.named_modules()
        if isinstance(module, (*NORMALIZATIONS, *CONVOLUTIONS, nn.Linear))
    ]
    try:
        model.run(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return [(layer, norm) for layer, norm in found if count[layer] == count[norm] == 1 and layer not in shared]


def _fold(layer: Any, norm: Any) -> nn.Module | None:
    """Return one layer that does what both do, or None."""
    if norm.running_mean is None or norm.running_var is None:
        return None
    if isinstance(layer, nn.Linear):
        return fuse_linear_bn_eval(layer, norm) if layer.out_features == norm.num_features else None
    if layer.out_channels != norm.num_features:
        return None
    transposed = isinstance(layer, nn.modules.conv._ConvTransposeNd)
    if transposed and layer.groups > 1:
        return None
    fused: nn.Module = fuse_conv_bn_eval(copy.deepcopy(layer), norm, transpose=transposed)
    return fused


def _put(root: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(root.get_submodule(parent), last, module)


def _same(expected: dict[str, Array], got: dict[str, Array]) -> bool:
    return all(distance(expected[name], got[name]) <= TOLERANCE for name in expected)
