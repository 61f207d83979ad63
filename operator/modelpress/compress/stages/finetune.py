"""Stage finetune: AdamW on a cosine; the best epoch on validation data wins; what was pruned stays zero.

Runs tenants' code (forward). Deterministic for a seed on the same machine.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import numpy as np
import torch

from modelpress.api.compression import Objective
from modelpress.api.reasons import Reason
from modelpress.api.stages import Finetune

from ..datasets import Samples
from ..errors import Judged
from ..formats.entrypoint import Guard
from ..models import ModuleModel, tensors
from ..signature import calls
from .context import Context
from .losses import LOSSES, check

LEARNING_RATE, BATCH_SIZE, WEIGHT_DECAY = 1e-3, 64, 1e-4


def run(model: ModuleModel, settings: Finetune, context: Context) -> ModuleModel:
    """Train in place. Raises Judged: TrainingDiverged, LabelsOutOfRange, DatasetDoesNotFit, EntrypointFailed."""
    train, objective = context.samples("train"), context.objective
    if train is None or objective is None:
        raise Judged(Reason.RECIPE_INVALID, "finetune needs compression.data.train and compression.objective.")
    trainer = Trainer(model, settings, objective, context.seed)
    validation = context.samples("validation")
    for role, samples in (("train", train), ("validation", validation)):
        if samples is not None:
            with Guard(context.source, f"forward on the {role} data"):
                trainer.check(samples, role)
    with Guard(context.source, "forward in training"):
        trainer.train(train, validation, context)
    model.module.eval().cpu()
    return model


class Trainer:
    """Trains one module on one output."""

    def __init__(self, model: ModuleModel, settings: Finetune, objective: Objective, seed: int) -> None:
        self.model = model
        self.settings = settings
        self.loss = objective.loss
        self.output = objective.output or model.signature.outputs[0].name
        self.batch_size = settings.batch_size or BATCH_SIZE
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.generator = np.random.default_rng(seed)
        self.index = [spec.name for spec in model.signature.outputs].index(self.output)
        torch.manual_seed(seed)
        model.module.to(self.device)
        self.masks = {name: mask.to(self.device) for name, mask in model.masks.items()}

    def check(self, samples: Samples, role: str) -> None:
        """Raise Judged if the samples have no fitting targets."""
        if self.output not in samples.targets:
            raise Judged(
                Reason.DATASET_DOES_NOT_FIT,
                f"The {role} data has no target for output {self.output}: name its column in "
                f"compression.data.{role}.targets.",
            )
        self.model.module.eval()
        with torch.no_grad():
            output, _ = next(self._answers(samples, np.arange(min(2, samples.count))))
        check(self.loss, output.shape, samples.targets[self.output], role, self.output)

    def train(self, train: Samples, validation: Samples | None, context: Context) -> None:
        """Run the epochs; leave the best weights in the module."""
        module, settings = self.model.module, self.settings
        parameters = [item for item in module.parameters() if item.requires_grad]
        optimizer = torch.optim.AdamW(
            parameters,
            settings.learning_rate or LEARNING_RATE,
            weight_decay=settings.weight_decay if settings.weight_decay is not None else WEIGHT_DECAY,
        )
        steps = settings.epochs * max(1, math.ceil(train.count / self.batch_size))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        best, best_epoch, state = math.inf, 0, None
        first = last = math.nan
        for epoch in range(1, settings.epochs + 1):
            last = self._epoch(train, optimizer, schedule, epoch)
            first = last if epoch == 1 else first
            detail = f"epoch {epoch} of {settings.epochs}, loss {last:.4g}"
            if validation is not None:
                score = self._score(validation)
                detail += f", validation {score:.4g}"
                if score < best:
                    best, best_epoch, state = score, epoch, copy.deepcopy(module.state_dict())
                if settings.patience is not None and epoch - best_epoch >= settings.patience:
                    context.notes.append(f"Stopped after epoch {epoch}: no improvement for {settings.patience} epochs.")
                    break
            context.report(epoch / settings.epochs, detail)
        context.notes.append(
            f"{self.loss} of the training data went from {first:.4g} in the first epoch to {last:.4g}."
        )
        if state is not None:
            module.load_state_dict(state)
            context.notes.append(f"Epoch {best_epoch} was kept, with {best:.4g} on the validation data.")

    def _epoch(
        self,
        train: Samples,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        epoch: int,
    ) -> float:
        """Go over the samples once; return the mean loss."""
        self.model.module.train()
        order = self.generator.permutation(train.count)
        total, seen = 0.0, 0
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            if len(chosen) == 1 and start:
                continue  # batch normalization cannot learn from a single sample; the next epoch leaves out another one
            optimizer.zero_grad()
            for output, target in self._answers(train, chosen):
                loss = LOSSES[self.loss](output, target)
                if not torch.isfinite(loss):
                    raise Judged(
                        Reason.TRAINING_DIVERGED,
                        f"The loss is {loss.item()} in epoch {epoch}: lower finetune.learningRate, or look for "
                        "extreme values in the training data.",
                    )
                (loss * (len(output) / len(chosen))).backward()  # type: ignore[no-untyped-call]
                total += loss.item() * len(output)
                seen += len(output)
            optimizer.step()
            schedule.step()
            self._apply_masks()
        return total / max(1, seen)

    def _score(self, samples: Samples) -> float:
        """Return the mean loss in evaluation mode."""
        self.model.module.eval()
        total = 0.0
        with torch.no_grad():
            for start in range(0, samples.count, self.batch_size):
                for output, target in self._answers(
                    samples, np.arange(start, min(samples.count, start + self.batch_size))
                ):
                    total += LOSSES[self.loss](output, target).item() * len(output)
        score = total / samples.count
        return score if math.isfinite(score) else math.inf

    def _answers(self, samples: Samples, chosen: np.ndarray) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield (output, target) of the chosen samples, each with a first axis: at once, or one by one."""
        signature = self.model.signature
        inputs = calls({name: column[chosen] for name, column in samples.inputs.items()}, signature, len(chosen))
        targets = samples.targets[self.output][chosen]
        for position, arguments in enumerate(inputs):
            output = self.model.call(tensors(arguments, self.device))[self.index]
            part = targets if signature.batched else targets[position : position + 1]
            target = torch.from_numpy(np.array(part)).to(self.device)
            yield (output if signature.batched else output[None]), target

    def _apply_masks(self) -> None:
        if self.masks:
            weights = dict(self.model.module.named_parameters())
            with torch.no_grad():
                for name, mask in self.masks.items():
                    weights[name].mul_(mask)
