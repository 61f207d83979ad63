"""Channel pruning over torch-pruning's dependency graph (Fang et al. 2023, arXiv:2301.12900).

Which layers may lose channels is tried out, not guessed: on a copy of the module each group of dependent layers is cut
in turn, and a group after which forward fails or answers in another shape is left alone. So outputs are never pruned,
nor is what a fixed reshape depends on.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import torch
import torch_pruning
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from modelpress.api.reasons import Reason
from modelpress.api.stages import Importance, Prune

from ..errors import Judged
from ..models import ModuleModel, tensors
from ..signature import example
from .context import Context
from .naming import select

SAMPLES = 2
PROBE_RATIO = 0.5
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
    fixed = cutter.probe(asked)
    amount = settings.amount
    if amount.channels is not None:
        ratio = amount.channels
    elif amount.parameters is not None:
        ratio = search(cutter, fixed, amount.parameters, count_parameters, "parameters", context)
    elif amount.macs is not None:
        ratio = search(cutter, fixed, amount.macs, lambda module: count_macs(model, module, inputs), "macs", context)
    else:
        raise Judged(Reason.RECIPE_INVALID, "prune with structure Channel takes amount.channels, amount.parameters or amount.macs.")
    cutter.cut(model.module, fixed, ratio)
    if not cutter.fits(model.module):
        raise Judged(Reason.STAGE_FAILED, "After pruning, forward fails or answers in another shape: name the layers to leave alone in ignore.")
    left = sorted(fixed - asked)
    if left:
        context.notes.append(f"Left alone, because the outputs depend on their width: {', '.join(left[:8])}.")


class Cutter:
    """Cuts channels out of a module, and knows what its outputs must look like."""

    def __init__(self, model: ModuleModel, settings: Prune, inputs: dict[str, torch.Tensor]) -> None:
        self.model = model
        self.settings = settings
        self.inputs = inputs
        self.shapes = self._shapes(model.module)

    def cut(self, module: nn.Module, ignored: set[str], ratio: float, each: Callable[[Any], bool] | None = None) -> None:
        """Remove the ratio of channels in place; `each` sees every group after its removal and may end the cut."""
        names = dict(module.named_modules())
        for parameter in module.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        probing = each is not None  # every layer must have its turn then
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            try:
                pruner = torch_pruning.BasePruner(
                    module,
                    example_inputs=tuple(self.inputs[spec.name] for spec in self.model.signature.inputs),
                    importance=torch_pruning.importance.MagnitudeImportance(
                        p=2 if self.settings.importance is Importance.L2 else 1
                    ),
                    global_pruning=self.settings.scope == "Global" and not probing,
                    pruning_ratio=ratio,
                    round_to=None if probing else self.settings.round_to,
                    ignored_layers=[names[name] for name in ignored],
                    in_channel_groups={},
                    out_channel_groups={},
                    num_heads={},
                    channel_groups={},
                    output_transform=_flatten,
                )
                for group in pruner.step(interactive=True):
                    group.prune()
                    if each is not None and not each(group):
                        return
            except (MemoryError, Judged):
                raise
            except Exception as error:  # the tracer raises whatever forward or its own assertions raise
                raise Judged(
                    Reason.STAGE_FAILED,
                    f"The dependencies between layers cannot be traced for channel pruning: {type(error).__name__}: {' '.join(str(error).split())[:300]}",
                ) from error

    def probe(self, asked: set[str]) -> set[str]:
        """Return the layers that must keep their channels: those asked for, and those whose loss breaks the outputs."""
        fixed = set(asked)
        while True:
            module = copy.deepcopy(self.model.module)
            names = {layer: name for name, layer in module.named_modules()}
            broken: set[str] = set()

            def check(group: Any, module: nn.Module = module, names: dict[nn.Module, str] = names, broken: set[str] = broken) -> bool:
                if self.fits(module):
                    return True
                broken.update(_widths(group, names))
                return False

            self.cut(module, fixed, PROBE_RATIO, check)
            if broken <= fixed:
                if broken:
                    raise Judged(Reason.STAGE_FAILED, f"Removing channels around {sorted(broken)[0]} breaks forward: name it in ignore.")
                return fixed
            fixed |= broken

    def fits(self, module: nn.Module) -> bool:
        """Whether forward works and answers in the shapes of the untouched module."""
        try:
            return self._shapes(module) == self.shapes
        except MemoryError:
            raise
        except Exception:  # tenants' forward may raise anything when a width is another
            return False

    def _shapes(self, module: nn.Module) -> list[torch.Size]:
        module.eval()
        with torch.no_grad():
            return [output.shape for output in ModuleModel(module, self.model.signature).call(self.inputs)]


def _flatten(outputs: Any) -> list[torch.Tensor]:
    """Return all tensors of whatever forward returned, for the tracer."""
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    values = outputs.values() if isinstance(outputs, dict) else outputs
    return [tensor for value in values for tensor in _flatten(value)]


def _widths(group: Any, names: dict[nn.Module, str]) -> set[str]:
    """Return the layers of a group that lose output channels."""
    return {
        names[dependency.target.module]
        for dependency, _ in group
        if dependency.target.module in names
        and isinstance(dependency.target.module, nn.Linear | nn.modules.conv._ConvNd)
        and getattr(dependency.handler, "__name__", "").startswith("prune_out")
    }


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
            Reason.STAGE_FAILED, f"prune can remove at most {most:.0%} of the {what}, the recipe asks for {wanted:.0%}: ask for less."
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
        context.warnings.append(f"The nearest amount that whole channels allow is {best[0]:.1%} off the {wanted:.1%} of {what} that were asked for.")
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
