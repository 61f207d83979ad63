"""Channel pruning: which layers may lose channels or heads, and how many of them an amount means.

Which may is tried out, not guessed: on a copy of the module each group of dependent layers is cut in turn, and a group
after which forward fails or answers in another shape is left alone. So outputs are never pruned, nor is what a fixed
reshape depends on. Nor are channels that forward puts into another order than torch-pruning follows them in.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from modelpress.api.defaults import EffectivePrune
from modelpress.api.reasons import Reason
from modelpress.api.stages import Importance, PruneAmount

from ..errors import Judged
from ..models import ModuleModel, tensors
from ..signature import example
from . import heads
from .context import Context
from .cutting import GLOBAL, Cutter, tracing
from .naming import select
from .ranking import importances
from .reconstructing import kept_by, reconstruct
from .turned import turned

SAMPLES = 2
TRIED_RATIO = 0.5
MOST = 0.98
"""Greatest ratio of channels that the search tries."""
STEPS = 10
"""Halvings of the search for a ratio: 0.1 % of the channels."""
TOLERANCE = 0.05
"""A reached amount that is further than this from the wanted one is worth a warning."""

INSTEAD = "Ask for less, prune with structure Unstructured or SemiStructured2x4, or cut whole blocks."
"""What to do where many layers cannot lose channels."""

Count = Callable[[nn.Module], int]


class Pruning:
    """Removes channels of one module in steps."""

    def __init__(self, model: ModuleModel, settings: EffectivePrune, context: Context) -> None:
        self.model = model
        self.settings = settings
        self.context = context
        self.inputs = tensors(example(model.signature, SAMPLES, context.seed, context.calibration()))
        if settings.reconstruct or settings.importance is Importance.RECONSTRUCTION:
            heads.spell_out(model.module)
        layers = {name for name, _ in model.module.named_modules() if name}
        self.asked = select(settings.ignore, layers, "layer", nested=True)
        self.fixed = self.asked
        self.mixed = set[str]()
        self.endless = set[str]()
        self.turned = sorted({name for name, layer in model.module.named_modules() if turned(layer)} - self.asked)
        self.amount = settings.amount or PruneAmount()
        self.counted = next((key for key in self._counts() if getattr(self.amount, key) is not None), None)
        self.total = self._counts()[self.counted](model.module) if self.counted is not None else 0

    def step(self, number: int) -> None:
        """Do one step of `settings.steps`, counted from 1, in place.

        Raises Judged: StageFailed, or RecipeInvalid for an unknown layer or an amount that would leave nothing.
        """
        cutter = Cutter(self.model, self.settings, self.inputs)
        self.fixed = fixed_layers(cutter, self.fixed)  # anew: a grouped convolution may have become a depthwise one
        if mixed := cutter.mixed_up(copy.deepcopy(self.model.module), self.fixed):
            self.mixed |= mixed
            self.fixed = fixed_layers(cutter, self.fixed | mixed)
        with tracing(self.model.module):
            found = cutter.candidates(self.model.module, self.fixed)
        ranks = importances(found, self.settings.importance, self.model, self.context)
        steps = self.settings.steps
        if self.amount.channels is not None:
            ratio = 1 - (1 - self.amount.channels) ** (1 / steps)
            self._refuse_whole_layers([(item.name, item.width) for item in found], ratio)
        elif self.counted is not None:
            wanted = 1 - (1 - getattr(self.amount, self.counted)) ** (number / steps)
            ratio = self._search(cutter, ranks, wanted, number == steps)
        else:
            raise Judged(
                Reason.RECIPE_INVALID,
                "prune with structure Channel takes channels, parameters, macs or bytes as amount.",
            )
        cut = partial(cutter.cut, ignored=self.fixed, ratio=ratio, importances=ranks)
        before = copy.deepcopy(self.model.module) if self.settings.reconstruct else None
        kept = kept_by(cut, before) if before is not None else {}
        cut(self.model.module)
        self.endless |= cutter.endless
        if not cutter.fits(self.model.module):
            raise Judged(
                Reason.STAGE_FAILED,
                "After pruning, forward fails or answers in another shape: name the layers to leave alone in ignore.",
            )
        if before is not None:
            reconstruct(before, self.model, kept, self.context)

    def end(self) -> None:
        """Say what was left alone."""
        left = sorted(self.fixed - self.asked - self.mixed)
        if left:
            self.context.notes.append(f"Left alone, because the outputs depend on their width: {', '.join(left[:8])}.")
        if self.mixed:
            self.context.notes.append(
                "Left alone, because forward puts their channels into another order than that in which the next layer "
                f"is followed: {', '.join(sorted(self.mixed)[:8])}."
            )
        if self.endless:
            self.context.notes.append(
                "Left alone, because their channels come to no end where they are followed (halves of them change "
                f"places, say): {', '.join(sorted(self.endless)[:8])}."
            )
        if self.turned:
            self.context.notes.append(f"Left alone, {self.unfollowed()}.")

    def unfollowed(self) -> str:
        """Return why layers that are there cannot lose channels at all; nothing if there are no such layers."""
        if not self.turned:
            return ""
        more = f" and {len(self.turned) - 1} more" if len(self.turned) > 1 else ""
        return f"because channels are not followed through layers of the kind Conv1D: {self.turned[0]}{more}"

    def _counts(self) -> dict[str, Count]:
        return {
            "parameters": count_parameters,
            "macs": lambda module: count_macs(self.model, module, self.inputs),
            "bytes": count_bytes,
        }

    def _refuse_whole_layers(self, widths: Sequence[tuple[str, int]], ratio: float) -> None:
        """Raise Judged with RecipeInvalid if each layer is to lose the same and one would lose all it has."""
        if self.settings.scope == GLOBAL:
            return  # the best of each layer stays
        for name, width in widths:
            if width > 1 and round(width * (1 - ratio)) < 1:
                raise Judged(
                    Reason.RECIPE_INVALID,
                    f"prune.amount.channels {self.amount.channels} would remove all {width} channels of layer {name}: "
                    "ask for less, or name it in ignore.",
                )

    def _search(self, cutter: Cutter, ranks: Sequence[torch.Tensor], wanted: float, last: bool) -> float:
        """Return the ratio of channels whose removal leaves 1 - wanted of what was counted at first, by bisection."""
        what = str(self.counted)
        count = self._counts()[what]

        def removed(ratio: float) -> float:
            module = copy.deepcopy(self.model.module)
            cutter.cut(module, self.fixed, ratio, ranks)
            return 1 - count(module) / self.total if cutter.fits(module) else 1.0

        most = removed(MOST)
        if most < wanted - TOLERANCE:
            why = f", {self.unfollowed()}. {INSTEAD}" if self.turned else ": ask for less."
            raise Judged(
                Reason.STAGE_FAILED,
                f"prune can remove at most {most:.0%} of the {what}, the recipe asks for {wanted:.0%}{why}",
            )
        low, high = 0.0, MOST
        best = (abs(most - wanted), MOST)
        for step in range(STEPS):
            middle = (low + high) / 2
            got = removed(middle)
            best = min(best, (abs(got - wanted), middle))
            low, high = (middle, high) if got < wanted else (low, middle)
            self.context.report(
                0.9 + 0.1 * (step + 1) / (STEPS + 1), f"{got:.1%} of the {what} at {middle:.1%} of the channels"
            )
        if last and best[0] > TOLERANCE:
            self.context.warnings.append(
                f"Whole channels allow no nearer amount than {best[0]:.1%} off the {wanted:.1%} of {what} that were "
                "asked for."
            )
        return best[1]


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


def count_parameters(module: nn.Module) -> int:
    """Return the number of elements of all parameters."""
    return sum(item.numel() for item in module.parameters())


def count_bytes(module: nn.Module) -> int:
    """Return the bytes of all parameters and buffers."""
    return sum(item.numel() * item.element_size() for item in [*module.parameters(), *module.buffers()])


def count_macs(model: ModuleModel, module: nn.Module, inputs: dict[str, torch.Tensor]) -> int:
    """Return multiply-accumulate operations for one sample: matrix products and convolutions."""
    module.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        ModuleModel(module, model.signature).call(inputs)
    return int(counter.get_total_flops()) // 2 // (SAMPLES if model.signature.batched else 1)
