"""The objective of the spec as a Criterion: one of our losses, or a function of the source.

Runs tenants' code where the loss is an entrypoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from modelpress.api.objective import Loss, Objective
from modelpress.api.reasons import Reason
from modelpress.api.stages import Finetune, Prune

from ..datasets import Samples, rows_of
from ..errors import Judged
from ..formats import entrypoint
from ..signature import Signature, describe
from .context import Reader
from .criterion import Criterion, Outputs
from .losses import TargetLoss, settled


def criterion(objective: Objective, signature: Signature, source: Path, smoothing: float = 0.0) -> Criterion:
    """Return what training makes small. Raises Judged: RecipeInvalid, SourceInvalid, EntrypointFailed.

    `source`: folder of the source.
    """
    if objective.loss is not Loss.ENTRYPOINT:
        return TargetLoss(objective, signature, smoothing)
    if objective.entrypoint is None:
        raise Judged(Reason.RECIPE_INVALID, "objective.loss Entrypoint needs objective.entrypoint, as file:function.")
    folder = source.resolve()
    return EntrypointLoss(
        entrypoint.find(folder, objective.entrypoint, "objective.entrypoint"), objective.entrypoint, signature, folder
    )


def check_targets(objective: Objective | None, stages: Iterable[Any], signature: Signature, samples: Reader) -> None:
    """Raise Judged if a stage learns from targets that the data lacks: before the stages, not once it is their turn."""
    if objective is None or objective.loss is Loss.ENTRYPOINT or not any(_learns(stage) for stage in stages):
        return
    wanted = [objective.output] if objective.output else []
    for role in ("train", "validation"):
        if (found := samples(role)) is not None:
            wanted = settled(wanted, [spec.name for spec in signature.outputs], found, role)


def _learns(stage: Any) -> bool:
    return isinstance(stage, Finetune) or (isinstance(stage, Prune) and stage.recovery is not None)


class EntrypointLoss:
    """A function of the source, on all outputs and all targets: a Criterion."""

    name = "The loss"

    def __init__(self, function: Callable[..., Any], where: str, signature: Signature, folder: Path) -> None:
        self.function = function
        self.where = where
        self.names = [spec.name for spec in signature.outputs]
        self.folder = folder

    def check(self, _inputs: dict[str, torch.Tensor], outputs: Outputs, samples: Samples, _role: str) -> None:
        """Raise Judged with EntrypointFailed unless the function returns one number that can be trained by."""
        chosen = np.arange(len(outputs[0]))
        with torch.enable_grad():
            given = tuple(item.detach().requires_grad_(item.is_floating_point()) for item in outputs)
            found = self._call(given, samples, chosen)
        wrong = None
        if not isinstance(found, torch.Tensor):
            wrong = type(found).__name__
        elif found.numel() != 1:
            wrong = f"a tensor of shape {describe(found.shape)}"
        elif not found.requires_grad:
            wrong = "a tensor without a gradient"
        if wrong is not None:
            raise Judged(
                Reason.ENTRYPOINT_FAILED,
                f"The loss {self.where} returned {wrong}: it must return the mean over a batch, one number, computed "
                "from the outputs by torch.",
            )

    def taught(self) -> None:
        """Nobody knows what the function looks at."""

    def parameters(self) -> list[nn.Parameter]:
        """Nothing is trained beside the module."""
        return []

    def loss(
        self, _inputs: dict[str, torch.Tensor], outputs: Outputs, samples: Samples, chosen: np.ndarray
    ) -> torch.Tensor:
        """Return what the function says of the chosen samples."""
        return torch.as_tensor(self._call(outputs, samples, chosen)).reshape(())

    def _call(self, outputs: Outputs, samples: Samples, chosen: np.ndarray) -> Any:
        device = outputs[0].device
        targets = {
            name: torch.from_numpy(np.array(rows_of(values, chosen))).to(device)
            for name, values in samples.targets.items()
        }
        with entrypoint.Guard(self.folder, f"loss {self.where}"):
            return self.function(dict(zip(self.names, outputs, strict=True)), targets)
