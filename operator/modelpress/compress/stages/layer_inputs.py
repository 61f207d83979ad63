"""What layers take and what they answer, as rows of numbers: for whoever ranks or fits their inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ..models import ModuleModel, tensors
from ..signature import MASK, Arrays, calls
from .context import Context

BATCH = 16
ROWS = 2**12
"""Most rows of one layer that are taken of one call: images have many that are alike."""
WIDEST = 2**13
"""Most columns of a layer's inputs whose products are held: 512 MiB."""
BUDGET = 2**27
"""Numbers of such products that are gathered in one run through the data: 1 GiB."""

Layer = nn.Linear | nn.Conv1d | nn.Conv2d
"""Layers that answer products of their weights with rows of what they take."""
KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d)
COMPUTE = ("forward", "_conv_forward")
"""Methods that say what these layers do."""


def data_of(context: Context) -> Arrays:
    """Return the data that layers are looked at on; a recipe that needs it is refused without."""
    data = context.calibration()
    if data is None:
        raise ValueError("no calibration data and no training data")
    return data


def layers(module: nn.Module) -> dict[str, Layer]:
    """Return the layers of a module, by name, each of whose outputs is a product with all of its inputs."""
    return {
        name: layer
        for name, layer in module.named_modules()
        if name and isinstance(layer, Layer) and getattr(layer, "groups", 1) == 1 and as_torch(layer)
    }


def as_torch(layer: Layer) -> bool:
    """Whether a layer does what torch's own does: a class of the source's may scale its answer, or its weight."""
    kind = next(kind for kind in KINDS if isinstance(layer, kind))
    own = (name in vars(layer) or getattr(type(layer), name, None) is not getattr(kind, name, None) for name in COMPUTE)
    return not any(own)


def rows(layer: Layer, taken: torch.Tensor) -> torch.Tensor:
    """Return what is multiplied, [positions, inputs x positions of the kernel], in the order of the weights."""
    if isinstance(layer, nn.Linear):
        return taken.reshape(-1, taken.shape[-1])
    sides = list(layer._reversed_padding_repeated_twice)  # torch's own words for padding, "same" among them
    if any(sides):
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        taken = functional.pad(taken, sides, mode=mode)
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    if taken.ndim == 1 + len(kernel):  # one sample alone
        taken = taken[None]
    if isinstance(layer, nn.Conv1d):
        taken, kernel, stride, dilation = taken[:, :, None], (1, *kernel), (1, *stride), (1, *dilation)
    patches = functional.unfold(taken, kernel, dilation=dilation, stride=stride)
    return patches.transpose(1, 2).reshape(-1, patches.shape[1])


def answers(layer: Layer, given: torch.Tensor) -> torch.Tensor:
    """Return what a layer answered, [positions, outputs], in the order of `rows`."""
    last = given if isinstance(layer, nn.Linear) else given.movedim(-1 - len(layer.kernel_size), -1)
    return last.reshape(-1, last.shape[-1])


def chosen(taken: torch.Tensor, count: int, inputs: Mapping[str, torch.Tensor], seed: int) -> torch.Tensor:
    """Return which of the `count` rows of a call are looked at, in order: none at padding, and at most ROWS."""
    mask = inputs.get(MASK)
    padded = mask is not None and mask.shape == taken.shape[:-1]
    real = mask.reshape(-1).nonzero()[:, 0] if mask is not None and padded else torch.arange(count)
    if len(real) <= ROWS:
        return real
    some = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))[:ROWS]
    return real[some.sort().values]


Calls = list[tuple[torch.Tensor, torch.Tensor]]
"""(what a layer took, what it answered), each time that it was called."""


@contextmanager
def watched(module: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Calls]]:
    """Gather what layers take and answer, by name, while the module runs; whoever has read it clears the lists."""
    seen: dict[str, Calls] = {name: [] for name in names}

    def hook(name: str, _layer: nn.Module, given: tuple[Any, ...], named: Mapping[str, Any], answer: Any) -> None:
        (taken,) = (*given, *named.values())
        seen[name].append((taken, answer))

    with ExitStack() as stack:
        for name in names:
            watching = module.get_submodule(name).register_forward_hook(partial(hook, name), with_kwargs=True)
            stack.callback(watching.remove)
        yield seen


def side_by_side(
    model: ModuleModel, modules: Sequence[nn.Module], data: Arrays
) -> Iterator[tuple[dict[str, torch.Tensor], list[tuple[torch.Tensor, ...]]]]:
    """Run modules of one signature on all data, without gradients; yield (inputs, outputs of each) of each call."""
    for module in modules:
        module.eval()
    for arguments in calls(data, model.signature, BATCH):
        inputs = tensors(arguments)
        with torch.no_grad():
            outputs = [ModuleModel(module, model.signature).call(inputs) for module in modules]
        yield inputs, outputs


def squares(names: Sequence[str], model: ModuleModel, data: Arrays, seed: int) -> dict[str, torch.Tensor]:
    """Return X'X of what layers take, by name, [columns, columns]; of one that is never called, zeros."""
    known = layers(model.module)
    found = {name: torch.zeros([known[name].weight[0].numel()] * 2, dtype=torch.float64) for name in names}
    with watched(model.module, names) as seen:
        for inputs, _ in side_by_side(model, [model.module], data):
            for name in names:
                for taken, _ in seen[name]:
                    numbers = rows(known[name], taken)
                    numbers = numbers[chosen(taken, len(numbers), inputs, seed)]
                    found[name] += numbers.T @ numbers
                seen[name].clear()
    return found
