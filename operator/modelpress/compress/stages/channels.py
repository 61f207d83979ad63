"""Channel pruning: which layers may lose channels, and how many of them an amount means.

Which may is tried out, not guessed: on a copy of the module each group of dependent layers is cut in turn, and a group
after which forward fails or answers in another shape is left alone. So outputs are never pruned, nor is what a fixed
reshape depends on.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from modelpress.api.reasons import Reason
from modelpress.api.stages import Prune

from ..errors import Judged
from ..models import ModuleModel, tensors
from ..signature import example
from .context import Context
from .cutting import Cutter
from .naming import select

SAMPLES = 2
TRIED_RATIO = 0.5
MOST = 0.98
"""Greatest ratio of channels that the search tries."""
STEPS = 10
"""Halvings of the search for a ratio: 0.1 % of the channels."""
TOLERANCE = 0.05
"""A reached amount that is further than this from the wanted one is worth a warning."""


def prune(model: ModuleModel, settings: Prune, context: Context) -> None:
    """Remove channels in place. Raises Judged with StageFailed, or RecipeInvalid for an unknown layer."""
    inputs = tensors(example(model.signature, SAMPLES, context.seed, context.calibration()))
    layers = {name for name, _ in model.module.named_modules() if name}
    asked = select(settings.ignore or (), layers, "layer", nested=True)
    cutter = Cutter(model, settings, inputs)
    fixed = fixed_layers(cutter, asked)
    amount = settings.amount
    if amount.channels is not None:
        ratio = amount.channels
    elif amount.parameters is not None:
        ratio = search(cutter, fixed, amount.parameters, count_parameters, "parameters", context)
    elif amount.macs is not None:
        ratio = search(cutter, fixed, amount.macs, lambda module: count_macs(model, module, inputs), "macs", context)
    else:
        raise Judged(
            Reason.RECIPE_INVALID, "prune with structure Channel takes channels, parameters or macs as amount."
        )
    cutter.cut(model.module, fixed, ratio)
    if not cutter.fits(model.module):
        raise Judged(
            Reason.STAGE_FAILED,
            "After pruning, forward fails or answers in another shape: name the layers to leave alone in ignore.",
        )
    left = sorted(fixed - asked)
    if left:
        context.notes.append(f"Left alone, because the outputs depend on their width: {', '.join(left[:8])}.")


def fixed_layers(cutter: Cutter, asked: set[str]) -> set[str]:
    """Return the layers that keep their channels: those asked for, and those whose loss breaks the outputs."""
    fixed = set(asked)
    while broken := cutter.try_out(copy.deepcopy(cutter.model.module), fixed, TRIED_RATIO):
        if broken <= fixed:
            raise Judged(
                Reason.STAGE_FAILED, f"Removing channels around {sorted(broken)[0]} breaks forward: name it in ignore."
            )
        fixed |= broken
    return fixed


def search(
    cutter: Cutter, fixed: set[str], wanted: float, count: Callable[[nn.Module], int], what: str, context: Context
) -> float:
    """Return the ratio of channels whose removal removes the wanted fraction of what is counted, by bisection."""
    total = count(cutter.model.module)

    def removed(ratio: float) -> float:
        module = copy.deepcopy(cutter.model.module)
        cutter.cut(module, fixed, ratio)
        return 1 - count(module) / total

    most = removed(MOST)
    if most < wanted - TOLERANCE:
        raise Judged(
            Reason.STAGE_FAILED,
            f"prune can remove at most {most:.0%} of the {what}, the recipe asks for {wanted:.0%}: ask for less.",
        )
    low, high = 0.0, MOST
    best = (abs(most - wanted), MOST)
    for step in range(STEPS):
        middle = (low + high) / 2
        got = removed(middle)
        best = min(best, (abs(got - wanted), middle))
        low, high = (middle, high) if got < wanted else (low, middle)
        context.report((step + 1) / (STEPS + 1), f"{got:.1%} of the {what} at {middle:.1%} of the channels")
    if best[0] > TOLERANCE:
        context.warnings.append(
            f"Whole channels allow no nearer amount than {best[0]:.1%} off the {wanted:.1%} of {what} that were "
            "asked for."
        )
    return best[1]


def count_parameters(module: nn.Module) -> int:
    """Return the number of elements of all parameters."""
    return sum(item.numel() for item in module.parameters())


def count_macs(model: ModuleModel, module: nn.Module, inputs: dict[str, torch.Tensor]) -> int:
    """Return multiply-accumulate operations for one sample: matrix products and convolutions."""
    module.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        ModuleModel(module, model.signature).call(inputs)
    return int(counter.get_total_flops()) // 2 // (SAMPLES if model.signature.batched else 1)
