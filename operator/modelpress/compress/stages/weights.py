"""Unstructured pruning: the smallest weights become zero, and stay zero in training by masks.

L1 and L2 rank single weights alike: both by their magnitude.
"""

from __future__ import annotations

import torch

from modelpress.api.reasons import Reason
from modelpress.api.stages import Prune

from ..errors import Judged
from ..models import ModuleModel
from .context import Context
from .naming import select

GLOBAL = "Global"


def prune(model: ModuleModel, settings: Prune, context: Context) -> None:
    """Set the given fraction of the weights to zero, in all parameters with two axes or more, in place."""
    sparsity = settings.amount.sparsity
    if sparsity is None:
        raise Judged(Reason.RECIPE_INVALID, "prune with structure Unstructured takes amount.sparsity.")
    layers = [name for name, _ in model.module.named_modules() if name]
    ignored = select(settings.ignore or (), layers, "layer", nested=True)
    weights = {
        name: parameter
        for name, parameter in model.module.named_parameters()
        if parameter.ndim > 1 and parameter.is_floating_point() and name.rpartition(".")[0] not in ignored
    }
    if not weights:
        raise Judged(
            Reason.STAGE_FAILED, "prune found no weight to remove: every layer is ignored or has only one axis."
        )
    total = sum(item.numel() for item in weights.values())
    before = sum(int((item == 0).sum()) for item in weights.values())
    with torch.no_grad():
        for scope in (
            [weights] if (settings.scope or GLOBAL) == GLOBAL else [{name: item} for name, item in weights.items()]
        ):
            for name, keep in smallest_out(scope, sparsity).items():
                model.masks[name] = keep & model.masks.get(name, torch.ones_like(keep))
                weights[name].mul_(model.masks[name])
    zeros = sum(int((item == 0).sum()) for item in weights.values())
    if zeros <= before:
        raise Judged(Reason.STAGE_FAILED, f"prune set nothing to zero: {before} of {total} weights were zero already.")
    context.notes.append(f"{zeros} of {total} weights are zero ({zeros / total:.1%}).")


def smallest_out(weights: dict[str, torch.nn.Parameter], sparsity: float) -> dict[str, torch.Tensor]:
    """Return masks that are False for exactly the given fraction of all these weights: those of least magnitude."""
    magnitudes = torch.cat([item.detach().abs().flatten() for item in weights.values()])
    keep = torch.ones_like(magnitudes, dtype=torch.bool)
    count = round(sparsity * magnitudes.numel())
    keep[torch.topk(magnitudes, count, largest=False).indices] = False
    parts = torch.split(keep, [item.numel() for item in weights.values()])
    return {name: part.view_as(item) for (name, item), part in zip(weights.items(), parts, strict=True)}
