"""What stages made of a module, as plain data, and the same module again out of its source. No pickle, no code.

Written down are the class of each submodule, its plain attributes (widths, numbers of heads and groups) and which
blocks were cut; the tensors go beside it. What is put together again is the source's own module, changed accordingly:
classes other than the source's may only be ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from .models import ModuleModel
from .stages.blocks import Blocks
from .stages.multihead import FewerHeads
from .stages.thin import Factorized

MASK = "mask:"
"""Prefix of masks among the tensors."""

Plain = bool | int | float | str | None


class DoesNotFitError(Exception):
    """The source is not what was written down."""


def describe(model: ModuleModel) -> dict[str, Any]:
    """Return the structure as JSON types."""
    first: dict[int, str] = {}
    ties: dict[str, str] = {}
    for name, item in model.module.named_parameters(remove_duplicate=False):
        if first.setdefault(id(item), name) != name:
            ties[name] = first[id(item)]
    return {
        "cuts": [[name, list(positions)] for name, positions in model.cuts],
        "ties": ties,
        "modules": {
            name: {"class": _class(module), "attributes": _attributes(module)}
            for name, module in model.module.named_modules()
        },
    }


def tensors_of(model: ModuleModel) -> dict[str, torch.Tensor]:
    """Return parameters, buffers and masks by name; parameters that are one stand once."""
    named = {**dict(model.module.named_parameters()), **dict(model.module.named_buffers())}
    named |= {f"{MASK}{name}": mask for name, mask in model.masks.items()}
    return {name: item.detach().cpu().clone(memory_format=torch.contiguous_format) for name, item in named.items()}


def rebuild(model: ModuleModel, structure: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Make of the untouched source, in place, what was described. Raises DoesNotFitError, after which it is useless."""
    for name, positions in structure["cuts"]:
        Blocks(model, name).remove(positions)
    described = structure["modules"]
    for name, wanted in described.items():
        module = _replaced(model.module, name, wanted["class"])
        for attribute, value in wanted["attributes"].items():
            plain = tuple(value) if isinstance(value, list) else value
            if not hasattr(module, attribute) or getattr(module, attribute) != plain:
                setattr(module, attribute, value if isinstance(getattr(module, attribute, None), list) else plain)
    more = {name for name, _ in model.module.named_modules()} - set(described)
    if more:
        raise DoesNotFitError(f"{sorted(more)[0]} is new")
    _put_tensors(model, {name: item for name, item in tensors.items() if not name.startswith(MASK)}, structure["ties"])
    model.masks = {name.removeprefix(MASK): item for name, item in tensors.items() if name.startswith(MASK)}
    model.module.eval()


def _replaced(root: nn.Module, name: str, wanted: str) -> nn.Module:
    """Return the submodule of this name, after putting one of ours in its place if one of ours is wanted."""
    try:
        present = root.get_submodule(name)
    except AttributeError as error:
        raise DoesNotFitError(f"{name} is missing") from error
    if _class(present) == wanted:
        return present
    if wanted not in OURS or not name:
        raise DoesNotFitError(f"{name} is {_class(present)}, not {wanted}")
    made = OURS[wanted](present)
    parent, _, last = name.rpartition(".")
    setattr(root.get_submodule(parent), last, made)
    return made


def _put_tensors(model: ModuleModel, tensors: Mapping[str, torch.Tensor], ties: Mapping[str, str]) -> None:
    """Put parameters and buffers in, whatever their shapes; remove those that are not there any more."""
    everything = dict(tensors) | {name: tensors[other] for name, other in ties.items()}
    made: dict[str, nn.Parameter] = {}
    for place, module in model.module.named_modules():
        prefix = f"{place}." if place else ""
        for own in (module._parameters, module._buffers):
            for key, present in list(own.items()):
                name = f"{prefix}{key}"
                if name not in everything:
                    own[key] = None
                elif present is not None and present.shape == everything[name].shape:
                    present.data.copy_(everything[name])
                elif own is module._parameters:
                    item = everything[name]
                    first = ties.get(name, name)
                    made.setdefault(first, nn.Parameter(item.clone(), requires_grad=item.is_floating_point()))
                    module._parameters[key] = made[first]
                else:
                    module._buffers[key] = everything[name].clone()
    found = {*dict(model.module.named_parameters(remove_duplicate=False)), *dict(model.module.named_buffers())}
    if set(everything) - found:
        raise DoesNotFitError(f"{sorted(set(everything) - found)[0]} has no place")


def _class(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _attributes(module: nn.Module) -> dict[str, Plain | list[Plain]]:
    """Return the plain attributes; torch's own begin with an underscore."""
    found: dict[str, Plain | list[Plain]] = {}
    for name, value in vars(module).items():
        if name.startswith("_") or name == "training":
            continue
        if isinstance(value, Plain):
            found[name] = value
        elif isinstance(value, tuple | list) and all(isinstance(item, Plain) for item in value):
            found[name] = list(value)
    return found


OURS: Mapping[str, Callable[[Any], nn.Module]] = MappingProxyType(
    {
        "torch.nn.modules.linear.Identity": lambda _present: nn.Identity(),
        f"{FewerHeads.__module__}.{FewerHeads.__qualname__}": FewerHeads.of,
        f"{Factorized.__module__}.{Factorized.__qualname__}": Factorized.of,
    }
)
"""Classes that stages put into the place of the source's, and how each is made of what stood there."""
