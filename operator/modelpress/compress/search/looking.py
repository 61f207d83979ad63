"""What a model is, as far as it decides which recipes make sense: read off its graph, or measured in seconds.

Runs tenants' code (forward).
"""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from torch import nn

from modelpress.api.auto import AutoObjective
from modelpress.api.objective import Loss
from modelpress.api.stages import Factorize, Fuse, Prune
from modelpress.store.search import Sensitivity

from ..datasets import Samples
from ..errors import Judged
from ..formats import FORMATS
from ..judge.layers import FAMILIES, layers_of
from ..models import GraphModel, Medium, ModuleModel
from ..recipe_run import RecipeRun
from ..signature import example
from ..stages import STAGES, distill, factorize, fuse, fuse_attention, prune
from ..stages.blocks import Blocks
from ..stages.context import Context
from ..stages.quantize.scan import scan
from ..stages.ranking import LOSS_SAMPLES, mean_loss, objective_of
from .budget import LOOKING, Budget
from .shapes import RANKS, distillation, prunings
from .traits import BlockList, Traits

FEWEST_BLOCKS = 3
"""A shorter list of alike blocks is none."""
TIMED = 512
"""Samples of the training data by which the time of an epoch is reckoned."""


@dataclass
class Look:
    """One look at a model."""

    model: ModuleModel | GraphModel
    original: Path
    """Its export."""
    work: RecipeRun
    """Gives stages their surroundings."""
    budget: Budget
    objective: AutoObjective
    tell: Callable[[float, str], None]
    epochs: int | None = None
    """How many epochs trials trained before the search was interrupted; None: it was not."""
    notes: list[str] = field(default_factory=list)
    """What was seen, in sentences."""
    epoch_seconds: float = 0.0
    """About how long an epoch of training takes; 0: nothing trains."""
    started: float = field(default_factory=time.monotonic)

    def traits(self) -> Traits:
        """Return what decides which recipes make sense."""
        task, layers = self.work.task, layers_of(self.original, values=False)
        families = Counter(FAMILIES[layer.operator] for layer in layers)
        whole = sum(layer.size for layer in layers) or 1
        tables = sum(layer.size for layer in layers if FAMILIES[layer.operator] == "table")
        module = self.model if FORMATS[task.source.format][0] is Medium.MODULE else None
        calibrates = bool({"train", "calibration"} & set(task.datasets))
        traits = Traits(
            dense=families["dense"],
            convolutions=families["convolution"],
            tables=tables / whole,
            fuses=self._fuses(),
            attends=self.objective is AutoObjective.LATENCY and self._attends(),
            calibrates=calibrates,
            sensitivities=self._sensitivities() if calibrates and families["dense"] + families["table"] else (),
        )
        if not isinstance(module, ModuleModel):
            return traits
        if calibrates:
            traits = replace(traits, blocks=self._blocks(module))
        if "train" not in task.datasets or task.objective is None:
            self.notes.append(
                "Nothing was pruned: that needs compression.data.train and compression.objective, to train again."
            )
            return traits
        return self._trained(traits, module)

    def _context(self) -> Context:
        context = self.work.context(0)
        context.report = self.tell
        return context

    def _fuses(self) -> bool:
        """Whether folding normalization changes something; it is tried on a copy."""
        context = self._context()
        try:
            if isinstance(self.model, ModuleModel) and Medium.MODULE is FORMATS[self.work.task.source.format][0]:
                fuse.run(_copy(self.model), Fuse(), context)
            else:
                STAGES["fuse"][Medium.GRAPH](GraphModel(self.original, self.model.signature), Fuse(), context)
        except Judged:
            return False
        return bool(context.notes)  # what was folded; nothing is only a warning

    def _attends(self) -> bool:
        """Whether one operator can compute attention; it is tried on a copy."""
        graph, context = GraphModel(self.original, self.model.signature), self._context()
        try:
            return fuse_attention.run(graph, context) is not graph
        except Judged:
            return False

    def _sensitivities(self) -> tuple[Sensitivity, ...]:
        context = self._context()
        try:
            return scan(GraphModel(self.original, self.model.signature), context, self._late)
        except Judged as error:
            self.notes.append(f"Sensitivities were not measured: {error.message}")
            return ()
        finally:
            self.notes += context.notes

    def _blocks(self, model: ModuleModel) -> BlockList | None:
        """Return the longest list of alike blocks of which some may go."""
        inputs = example(model.signature, 2, self.work.task.seed, self.work.context(0).calibration())
        found = []
        for name, container in model.module.named_modules():
            children = list(container.children())
            alike = len({type(child) for child in children}) == 1 and any(True for _ in container.parameters())
            if not name or not isinstance(container, nn.ModuleList | nn.Sequential) or not alike:
                continue
            removable = len(children) - len(Blocks(model, name).refused(inputs))
            if len(children) >= FEWEST_BLOCKS and removable > 0:
                found.append(BlockList(name, len(children), removable))
        return max(found, key=lambda blocks: blocks.count, default=None)

    def _trained(self, traits: Traits, model: ModuleModel) -> Traits:
        """Return the traits with how channels are ranked best, and how long trials may train."""
        objective = self.work.task.objective
        assert objective is not None, "the task has an objective"
        self.epoch_seconds = self._epoch_seconds(model, objective.loss)
        epochs = self.epochs or self.budget.epochs(self.epoch_seconds)
        if not epochs:
            self.notes.append("Nothing was trained: a single epoch would take too much of maxTime.")
            return traits
        traits = replace(traits, epochs=epochs, loss=objective.loss, width=_width(model.module))
        return replace(traits, factorizes=self._factorizes(model), pruning=self._pruning(model))

    def _factorizes(self, model: ModuleModel) -> bool:
        """Whether thin layers take parameters away; it is tried on a copy."""
        context = self._context()
        context.report = lambda _fraction, _detail: None
        self.tell(0.0, "layers of low rank")
        try:
            factorize.run(_copy(model), Factorize(parameters=RANKS[-1]), context)
        except Judged:
            return False
        return True

    def _epoch_seconds(self, model: ModuleModel, loss: Loss) -> float:
        """Return about how long an epoch of distillation takes, as trials distill."""
        context = self._context()
        train = context.samples("train")
        assert train is not None, "the task has training data"
        some = _first(train, TIMED)
        context.samples = lambda role: some if role == "train" else None
        context.teacher = _copy(model)
        context.report = lambda _fraction, _detail: None
        self.tell(0.0, "time of an epoch")
        started = time.monotonic()
        distill.run(_copy(model), distillation(loss, epochs=1), context)
        return (time.monotonic() - started) * train.count / some.count

    def _pruning(self, model: ModuleModel) -> Prune | None:
        """Return the ranking by which half of the parameters cost least before any training; None if none can go."""
        losses: list[tuple[float, Prune]] = []
        said, refused = [], dict[str, str]()
        for place, settings in enumerate(prunings()):
            if losses and self._late():
                break
            words = f"{settings.importance}, {settings.scope}"
            self.tell(place / len(prunings()), f"channels ranked by {words}")
            pruned, context = _copy(model), self._context()
            context.report = lambda _fraction, _detail: None
            try:
                prune.run(pruned, settings, context)
                criterion, samples = objective_of(pruned, context)
            except Judged as error:
                refused[words] = error.message.rstrip(".")
                continue
            order = np.sort(np.random.default_rng(context.seed).permutation(samples.count)[:LOSS_SAMPLES])
            losses.append((mean_loss(pruned, criterion, samples, order), settings))
            said.append(f"{losses[-1][0]:.3g} by {words}")
        if not losses:
            reasons = set(refused.values())
            each = [f"by {words}: {reason}" for words, reason in refused.items()]
            self.notes.append(f"No channel can go: {'; '.join(reasons if len(reasons) == 1 else each)}.")
            return None
        said += [f"by {words}: {reason}" for words, reason in refused.items()]
        self.notes.append(f"The objective without half of the parameters, untrained: {'; '.join(said)}.")
        return min(losses, key=lambda item: item[0])[1]

    def _late(self) -> bool:
        return time.monotonic() - self.started > LOOKING * self.budget.seconds


def _width(module: nn.Module) -> float:
    """Return how many channels layers answer with, at the median."""
    weights = [item for item in module.parameters() if item.ndim > 1]
    return float(np.median([len(item) for item in weights])) if weights else 0.0


def _copy(model: ModuleModel) -> ModuleModel:
    return ModuleModel(copy.deepcopy(model.module), model.signature)


def _first(samples: Samples, count: int) -> Samples:
    return Samples(
        {name: array[:count] for name, array in samples.inputs.items()},
        {name: array[:count] for name, array in samples.targets.items()},
        min(count, samples.count),
    )
