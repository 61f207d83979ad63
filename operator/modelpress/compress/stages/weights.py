"""Pruning of single weights: the least important become zero, and stay zero in training by masks.

L1 and L2 rank single weights alike: both by their magnitude. Taylor: the squared product of weight and gradient, summed
over batches. SemiStructured2x4: two of every four neighbours along the inputs of one output (Mishra et al. 2021,
arXiv:2104.08378, section 3).
"""

from __future__ import annotations

import torch
from torch import nn

from modelpress.api.defaults import EffectivePrune
from modelpress.api.reasons import Reason
from modelpress.api.stages import Importance, PruneStructure

from ..errors import Judged
from ..models import ModuleModel
from .context import Context
from .cutting import GLOBAL
from .naming import select
from .ranking import gradients
from .turned import turned

GROUP, LOST = 4, 2
"""Of so many neighbours, so many become zero."""


class Pruning:
    """Sets weights of one module to zero in steps: all parameters with two axes or more."""

    def __init__(self, model: ModuleModel, settings: EffectivePrune, context: Context) -> None:
        self.model = model
        self.settings = settings
        self.context = context
        layers = [name for name, _ in model.module.named_modules() if name]
        ignored = select(settings.ignore, layers, "layer", nested=True)
        self.names = [
            name
            for name, parameter in model.module.named_parameters()
            if parameter.ndim > 1 and parameter.is_floating_point() and name.rpartition(".")[0] not in ignored
        ]
        if not self.names:
            raise Judged(
                Reason.STAGE_FAILED, "prune found no weight to remove: every layer is ignored or has only one axis."
            )
        self.before = self._zeros()

    def step(self, number: int) -> None:
        """Do one step of `settings.steps`, counted from 1, in place. Raises Judged: RecipeInvalid, EntrypointFailed."""
        scores = self._scores()
        if self.settings.structure is PruneStructure.SEMI_STRUCTURED:
            axes = {name: self._input_axis(name) for name in scores}
            masks = {
                name: two_of_four(item, axes[name])
                for name, item in scores.items()
                if item.shape[axes[name]] % GROUP == 0
            }
            left = sorted(set(scores) - set(masks))
            if left:
                self.context.warnings.append(
                    f"Left alone, because its number of inputs is no multiple of {GROUP}: {', '.join(left[:8])}."
                )
        else:
            sparsity = self.settings.amount.sparsity if self.settings.amount is not None else None
            if sparsity is None:
                raise Judged(Reason.RECIPE_INVALID, "prune with structure Unstructured takes amount.sparsity.")
            share = 1 - (1 - sparsity) ** (number / self.settings.steps)
            whole = self.settings.scope == GLOBAL
            scopes = [scores] if whole else [{name: item} for name, item in scores.items()]
            masks = {name: keep for scope in scopes for name, keep in least_out(scope, share).items()}
            empty = next((name for name, keep in masks.items() if not bool(keep.any())), None)
            if empty is not None:
                raise Judged(
                    Reason.RECIPE_INVALID,
                    f"prune.amount.sparsity {sparsity} would set all {masks[empty].numel()} weights of {empty} to "
                    f"zero: ask for less, {'set scope to Layer, ' if whole else ''}or name its layer in ignore.",
                )
        weights = dict(self.model.module.named_parameters())
        with torch.no_grad():
            for name, keep in masks.items():
                self.model.masks[name] = keep & self.model.masks.get(name, torch.ones_like(keep))
                weights[name].mul_(self.model.masks[name])

    def end(self) -> None:
        """Say what became zero. Raises Judged with StageFailed if nothing did."""
        zeros, total = self._zeros(), sum(self._weight(name).numel() for name in self.names)
        if zeros <= self.before:
            raise Judged(
                Reason.STAGE_FAILED, f"prune set nothing to zero: {self.before} of {total} weights were zero already."
            )
        self.context.notes.append(f"{zeros} of {total} weights are zero ({zeros / total:.1%}).")

    def _scores(self) -> dict[str, torch.Tensor]:
        """Return the importance of each weight; what is zero already comes before all else."""
        weights = {name: self._weight(name).detach() for name in self.names}
        match self.settings.importance:
            case Importance.L1 | Importance.L2:
                return {name: item.abs() for name, item in weights.items()}
            case Importance.RANDOM:
                generator = torch.Generator().manual_seed(self.context.seed)
                scores = {name: torch.rand(item.shape, generator=generator) for name, item in weights.items()}
            case Importance.TAYLOR:
                scores = {name: torch.zeros_like(item) for name, item in weights.items()}
                for _ in gradients(self.model, self.context):
                    for name, item in weights.items():
                        gradient = self._weight(name).grad
                        if gradient is not None:
                            scores[name] += (item * gradient).square()
            case Importance.LOSS_CHANGE:
                raise Judged(Reason.RECIPE_INVALID, "prune with importance LossChange takes structure Channel.")
        return {name: torch.where(weights[name] == 0, -1.0, item) for name, item in scores.items()}

    def _weight(self, name: str) -> nn.Parameter:
        return self.model.module.get_parameter(name)

    def _input_axis(self, name: str) -> int:
        """Return the axis of a weight that counts inputs."""
        layer = self.model.module.get_submodule(name.rpartition(".")[0])
        return 0 if isinstance(layer, nn.modules.conv._ConvTransposeNd) or turned(layer) else 1

    def _zeros(self) -> int:
        return sum(int((self._weight(name) == 0).sum()) for name in self.names)


def least_out(scores: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    """Return masks that are False for exactly the given share of all these weights: the least important ones."""
    flat = torch.cat([item.flatten() for item in scores.values()])
    keep = torch.ones_like(flat, dtype=torch.bool)
    keep[torch.topk(flat, round(share * flat.numel()), largest=False).indices] = False
    parts = torch.split(keep, [item.numel() for item in scores.values()])
    return {name: part.view_as(item) for (name, item), part in zip(scores.items(), parts, strict=True)}


def two_of_four(scores: torch.Tensor, axis: int) -> torch.Tensor:
    """Return a mask that is False for two of every four neighbours along an axis: the least important."""
    rows = scores.movedim(axis, -1)
    groups = rows.reshape(-1, GROUP)
    keep = torch.ones_like(groups, dtype=torch.bool)
    keep.scatter_(1, groups.topk(LOST, largest=False).indices, False)
    return keep.view(rows.shape).movedim(-1, axis)
