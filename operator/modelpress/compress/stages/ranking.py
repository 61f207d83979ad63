"""How much the parts of a module matter: by the size of weights, by gradients of the objective, by leaving them out.

L1, L2: Li et al. 2017, arXiv:1608.08710, section 3.1. Taylor: Molchanov et al. 2019, arXiv:1906.10771, equation 8: the
squared sum of weight times gradient, summed over batches. LossChange: the objective's growth without the part, with its
sign (Molchanov et al. 2017, arXiv:1611.06440, section 2.1). Reconstruction: compensating.py. Runs tenants' code
(forward).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from modelpress.api.reasons import Reason
from modelpress.api.stages import Importance

from ..datasets import Samples
from ..errors import Judged
from ..formats.entrypoint import Guard
from ..models import ModuleModel
from . import compensating
from .batching import batched, batches
from .candidates import Candidate
from .context import Context
from .criterion import Criterion
from .objectives import criterion

BATCH = 64
GRADIENT_SAMPLES = 1024
"""Most samples of the training data that gradients are taken of."""
LOSS_SAMPLES = 512
"""Most samples of the training data that the objective is measured on, once for each channel."""


def importances(
    candidates: Sequence[Candidate], kind: Importance, model: ModuleModel, context: Context
) -> list[torch.Tensor]:
    """Return one number for each channel or head of each candidate. Raises Judged: RecipeInvalid, EntrypointFailed."""
    match kind:
        case Importance.L1 | Importance.L2:
            return [item.magnitude(2 if kind is Importance.L2 else 1) for item in candidates]
        case Importance.RANDOM:
            generator = torch.Generator().manual_seed(context.seed)
            return [torch.rand(item.width, generator=generator) for item in candidates]
        case Importance.TAYLOR:
            totals = [torch.zeros(item.width) for item in candidates]
            for _ in gradients(model, context):
                totals = [total + item.taylor().square() for total, item in zip(totals, candidates, strict=True)]
            return totals
        case Importance.RECONSTRUCTION:
            return compensating.importances(candidates, model, context)
        case Importance.LOSS_CHANGE:
            return _loss_changes(candidates, model, context)


def gradients(model: ModuleModel, context: Context) -> Iterator[None]:
    """Yield once for each batch of training data; meanwhile the parameters hold the objective's gradient of it."""
    goal, samples = objective_of(model, context)
    parameters = [item for item in model.module.parameters() if item.is_floating_point()]
    for item in parameters:
        item.requires_grad_(True)
    model.module.eval()
    order = np.random.default_rng(context.seed).permutation(samples.count)[:GRADIENT_SAMPLES]
    try:
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            for item in parameters:
                item.grad = torch.zeros_like(item)
            with Guard(context.source, "forward and backward on the train data"):
                for inputs, part in batches(model, samples, chosen):
                    loss = goal.loss(inputs, batched(model, model.call(inputs)), samples, part)
                    (loss * (len(part) / len(chosen))).backward()  # type: ignore[no-untyped-call]
            yield
    finally:
        for item in parameters:
            item.grad = None


def _loss_changes(candidates: Sequence[Candidate], model: ModuleModel, context: Context) -> list[torch.Tensor]:
    goal, samples = objective_of(model, context)
    model.module.eval()
    order = np.sort(np.random.default_rng(context.seed).permutation(samples.count)[:LOSS_SAMPLES])
    whole = mean_loss(model, goal, samples, order)
    total, done, found = sum(item.width for item in candidates), 0, []
    for item in candidates:
        changes = []
        for index in range(item.width):
            with item.without(index), Guard(context.source, f"forward without a channel of {item.name}"):
                changes.append(mean_loss(model, goal, samples, order) - whole)
            done += 1
            context.report(0.9 * done / total, f"{item.name}: {index + 1} of {item.width} left out")
        found.append(torch.tensor(changes))
    return found


def mean_loss(model: ModuleModel, goal: Criterion, samples: Samples, order: np.ndarray) -> float:
    """Return the mean loss of some samples, in evaluation mode; infinite if it is not a number."""
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(order), BATCH):
            for inputs, part in batches(model, samples, order[start : start + BATCH]):
                loss = goal.loss(inputs, batched(model, model.call(inputs)), samples, part)
                total += loss.item() * len(part)
    mean = total / len(order)
    return mean if np.isfinite(mean) else float("inf")


def objective_of(model: ModuleModel, context: Context) -> tuple[Criterion, Samples]:
    """Return the objective and the training data that it is taken of. Raises Judged: RecipeInvalid if one is missing,
    EntrypointFailed, DatasetDoesNotFit.
    """
    samples, objective = context.samples("train"), context.objective
    if samples is None or objective is None:
        raise Judged(
            Reason.RECIPE_INVALID,
            "prune with importance Taylor or LossChange needs compression.data.train and compression.objective.",
        )
    goal = criterion(objective, model.signature, context.source)
    model.module.eval()
    with Guard(context.source, "forward on the train data"), torch.no_grad():
        inputs, _ = next(batches(model, samples, np.arange(min(2, samples.count))))
        outputs = batched(model, model.call(inputs))
    goal.check(inputs, outputs, samples, "train")
    return goal, samples
