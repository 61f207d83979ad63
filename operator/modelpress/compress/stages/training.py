"""Training for all stages that train: AdamW; the best epoch on validation data wins, what was pruned stays zero.

Where no epoch is better than what stood before, that stays.

What is made small is a `Criterion`'s affair. Runs tenants' code (forward). Deterministic for a seed on one machine.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from modelpress.api.defaults import EffectiveTraining
from modelpress.api.reasons import Reason
from modelpress.api.stages import LearningRateSchedule

from ..datasets import Samples
from ..errors import Judged
from ..formats.entrypoint import Guard
from ..models import ModuleModel
from .augmenting import Augmentation
from .batching import batched, batches, device
from .channels_last import channels_last
from .context import Context
from .criterion import Criterion, Outputs
from .quantize import aware


def train(model: ModuleModel, settings: EffectiveTraining, criterion: Criterion, context: Context, stage: str) -> None:
    """Train in place on the context's training data; the module is in evaluation mode afterwards, on the CPU.

    `stage`: where the settings stand, for sentences. Raises Judged: RecipeInvalid, TrainingDiverged, EntrypointFailed,
    and whatever the criterion checks.
    """
    samples, validation = context.samples("train"), context.samples("validation")
    if samples is None:
        raise Judged(Reason.RECIPE_INVALID, "Training needs compression.data.train.")
    with _as_stored(model, settings, context):
        trainer = Trainer(model, settings, criterion, context.seed, stage)
        for role, found in (("train", samples), ("validation", validation)):
            if found is not None:
                with Guard(context.source, f"forward on the {role} data"):
                    trainer.check(found, role)
        context.warnings += trainer.untaught()
        with Guard(context.source, "forward in training"), channels_last(model, trainer.some(samples)):
            trainer.train(samples, validation, context)
    model.module.eval().cpu()


def _as_stored(
    model: ModuleModel, settings: EffectiveTraining, context: Context
) -> contextlib.AbstractContextManager[None]:
    """Return what has the module compute as the recipe's quantize stage will store it, where that is asked for."""
    if not settings.quantization_aware:
        return contextlib.nullcontext()
    if context.quantization is None:
        raise Judged(Reason.RECIPE_INVALID, "quantizationAware trains for a quantize stage, which the recipe has not.")
    return aware.rounded(model, context.quantization, context)


class Trainer:
    """Trains one module."""

    def __init__(
        self, model: ModuleModel, settings: EffectiveTraining, criterion: Criterion, seed: int, stage: str
    ) -> None:
        self.model = model
        self.settings = settings
        self.criterion = criterion
        self.stage = stage
        self.device = device()
        self.generator = np.random.default_rng(seed)
        torch.manual_seed(seed)
        self.augmentation = (
            Augmentation(settings.augment, model.signature, seed, self.device) if settings.augment is not None else None
        )
        self.differentiable: list[str] = []
        """Outputs that could be learned of."""
        model.module.to(self.device)
        self.masks = {name: mask.to(self.device) for name, mask in model.masks.items()}

    def check(self, samples: Samples, role: str) -> None:
        """Raise Judged if the samples do not have what the loss needs."""
        self.model.module.eval()
        with torch.no_grad():
            inputs, outputs, _ = next(self._answers(samples, np.arange(min(2, samples.count))))
        self.criterion.check(inputs, outputs, samples, role)
        self.differentiable = [
            spec.name
            for spec, value in zip(self.model.signature.outputs, outputs, strict=False)
            if value.is_floating_point()
        ]

    def untaught(self) -> list[str]:
        """Return a sentence about the outputs that training does not look at, none if it looks at all."""
        taught = self.criterion.taught()
        left = [name for name in self.differentiable if taught is not None and name not in taught]
        if not left:
            return []
        return [
            f"{self.stage} looked at {', '.join(taught or ())} alone: nothing kept {', '.join(left)} as before. "
            "Judge every output that matters by a metric of its own; distill without objective.output imitates all."
        ]

    def some(self, samples: Samples) -> dict[str, torch.Tensor]:
        """Return the inputs of one call with few samples."""
        return next(batches(self.model, samples, np.arange(min(2, samples.count)), self.device))[0]

    def train(self, samples: Samples, validation: Samples | None, context: Context) -> None:
        """Run the epochs; leave the best weights in the module."""
        module, epochs, patience = self.model.module, self.settings.epochs, self.settings.patience
        parameters = [item for item in module.parameters() if item.requires_grad]
        if not parameters:
            raise Judged(
                Reason.RECIPE_INVALID,
                f"{self.stage} has nothing to train: the source builds a module none of whose parameters takes a "
                "gradient (requires_grad). Leave the stage out, or have the entrypoint set it.",
            )
        parameters += self.criterion.parameters()
        optimizer = torch.optim.AdamW(parameters, self.settings.learning_rate, weight_decay=self.settings.weight_decay)
        steps = epochs * max(1, math.ceil(samples.count / self.settings.batch_size))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.share(step, steps))
        best, best_epoch = math.inf, 0
        first = last = math.nan
        start = self._score(validation) if validation is not None else math.inf
        state = copy.deepcopy(module.state_dict()) if validation is not None else None
        for epoch in range(1, epochs + 1):
            last = self._epoch(samples, optimizer, schedule, epoch)
            first = last if epoch == 1 else first
            detail = f"epoch {epoch} of {epochs}, loss {last:.4g}"
            if validation is not None:
                score = self._score(validation)
                detail += f", validation {score:.4g}"
                if score < best:
                    best, best_epoch = score, epoch
                    if score < start:
                        state = copy.deepcopy(module.state_dict())
                if patience is not None and epoch - best_epoch >= patience:
                    context.notes.append(f"Stopped after epoch {epoch}: no improvement for {patience} epochs.")
                    break
            context.report(epoch / epochs, detail)
        context.notes.append(
            f"{self.criterion.name} of the training data went from {first:.4g} in the first epoch to {last:.4g}."
        )
        if state is not None:
            module.load_state_dict(state)
            if best < start:
                context.notes.append(f"Epoch {best_epoch} was kept, with {best:.4g} on the validation data.")
            else:
                context.warnings.append(
                    f"{self.criterion.name} was not smaller on the validation data after training: {start:.4g} before, "
                    f"{best:.4g} after the best epoch. What stood before was kept: lower {self.stage}.learningRate, or "
                    "give it more epochs."
                )

    def share(self, step: int, steps: int) -> float:
        """Return which share of the learning rate holds in a step."""
        rising = round(steps * (self.settings.warmup or 0))
        if step < rising:
            return (step + 1) / rising
        done = (step - rising) / max(1, steps - rising)
        match self.settings.schedule:
            case LearningRateSchedule.COSINE:
                return (1 + math.cos(math.pi * done)) / 2
            case LearningRateSchedule.LINEAR:
                return 1 - done
            case LearningRateSchedule.CONSTANT:
                return 1.0

    def _epoch(
        self,
        samples: Samples,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        epoch: int,
    ) -> float:
        """Go over the samples once; return the mean loss."""
        self.model.module.train()
        order, size = self.generator.permutation(samples.count), self.settings.batch_size
        trained = [item for group in optimizer.param_groups for item in group["params"]]
        total, seen = 0.0, 0
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            if len(chosen) == 1 and start and size > 1:
                continue  # batch normalization cannot learn from a single sample; the next epoch leaves out another one
            optimizer.zero_grad()
            for inputs, outputs, part in self._answers(samples, chosen, augmented=True):
                loss = self.criterion.loss(inputs, outputs, samples, part)
                if not torch.isfinite(loss):
                    raise Judged(
                        Reason.TRAINING_DIVERGED,
                        f"The loss is {loss.item()} in epoch {epoch}: lower {self.stage}.learningRate, set "
                        f"{self.stage}.maxGradientNorm, or look for extreme values in the training data.",
                    )
                (loss * (len(part) / len(chosen))).backward()  # type: ignore[no-untyped-call]
                total += loss.item() * len(part)
                seen += len(part)
            if self.settings.max_gradient_norm is not None:
                nn.utils.clip_grad_norm_(trained, self.settings.max_gradient_norm)
            optimizer.step()
            schedule.step()
            self._apply_masks()
        return total / max(1, seen)

    def _score(self, samples: Samples) -> float:
        """Return the mean loss in evaluation mode."""
        self.model.module.eval()
        total, size = 0.0, self.settings.batch_size
        with torch.no_grad():
            for start in range(0, samples.count, size):
                chosen = np.arange(start, min(samples.count, start + size))
                for inputs, outputs, part in self._answers(samples, chosen):
                    total += self.criterion.loss(inputs, outputs, samples, part).item() * len(part)
        score = total / samples.count
        return score if math.isfinite(score) else math.inf

    def _answers(
        self, samples: Samples, chosen: np.ndarray, *, augmented: bool = False
    ) -> Iterator[tuple[dict[str, torch.Tensor], Outputs, np.ndarray]]:
        """Yield (inputs, outputs, samples they belong to): the chosen samples at once, or one by one."""
        for inputs, part in batches(self.model, samples, chosen, self.device):
            given = self.augmentation(inputs) if augmented and self.augmentation is not None else inputs
            yield given, batched(self.model, self.model.call(given)), part

    def _apply_masks(self) -> None:
        if self.masks:
            weights = dict(self.model.module.named_parameters())
            with torch.no_grad():
                for name, mask in self.masks.items():
                    weights[name].mul_(mask)
