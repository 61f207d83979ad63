"""The order of work, decided before any of it starts: stages on the module, the export, stages on the graph. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from modelpress.api.defaults import integer_activations
from modelpress.api.objective import Loss, Objective
from modelpress.api.reasons import Reason
from modelpress.api.source import Source
from modelpress.api.stages import (
    Cut,
    Distill,
    Finetune,
    Importance,
    Prune,
    PruneAmount,
    PruneStructure,
    Quantize,
    QuantizeScales,
    Stage,
    Teacher,
    Training,
)

from .errors import Judged
from .models import Medium
from .quantize_settings import LEARNING, check_quantize

QUANTIZE = "quantize"
AMOUNTS: Mapping[PruneStructure, tuple[str, ...]] = MappingProxyType(
    {
        PruneStructure.UNSTRUCTURED: ("sparsity",),
        PruneStructure.CHANNEL: ("bytes", "channels", "macs", "parameters"),
        PruneStructure.SEMI_STRUCTURED: (),
    }
)
"""Amounts that each structure takes, one of them."""


@dataclass(frozen=True)
class Step:
    """One stage, and what it works on."""

    position: int
    """Number of the stage in the recipe, from 1."""
    kind: str
    settings: Any
    medium: Medium


def plan(
    source: Source,
    start: Medium,
    stages: Collection[Stage],
    works_on: Mapping[str, Collection[Medium]],
    objective: Objective | None,
    roles: Collection[str],
) -> list[Step]:
    """Return the steps. The export stands before the first that works on the graph.

    A stage that could work on either works on the module as long as there is one. Raises Judged with RecipeInvalid.
    """
    steps: list[Step] = []
    medium = start
    for position, stage in enumerate(stages, 1):
        able = _able(stage, works_on)
        if medium not in able:
            medium = Medium.GRAPH
        if medium not in able:
            raise Judged(Reason.RECIPE_INVALID, _impossible(source, start, position, stage.kind, steps))
        steps.append(Step(position, stage.kind, stage.settings, medium))
    for step in steps:
        _check_settings(step, objective, roles)
        _check_aware(step, steps)
    again = [step.position for step in steps if step.kind == QUANTIZE]
    if len(again) > 1:
        raise Judged(Reason.RECIPE_INVALID, f"Stages {again[0]} and {again[1]} both quantize: keep one of them.")
    if again and again[0] != steps[-1].position:
        late = steps[-1]
        raise Judged(
            Reason.RECIPE_INVALID,
            f"Stage {late.position} ({late.kind}) comes after stage {again[0]} (quantize), which must be the last: put "
            f"{late.kind} before quantize.",
        )
    if objective is not None:
        _check_objective(objective, source)
    return steps


def _able(stage: Stage, works_on: Mapping[str, Collection[Medium]]) -> Collection[Medium]:
    """Return what a stage works on; attention is fused in the graph alone."""
    if stage.fuse is not None and stage.fuse.attention:
        return (Medium.GRAPH,)
    return works_on[stage.kind]


def _check_objective(objective: Objective, source: Source) -> None:
    """Raise Judged if the objective names what the source has not, or may not be run."""
    if (objective.loss is Loss.ENTRYPOINT) != (objective.entrypoint is not None):
        raise Judged(
            Reason.RECIPE_INVALID,
            "objective.loss Entrypoint needs objective.entrypoint, as file:function, and no other loss takes one.",
        )
    if objective.entrypoint is not None and not source.trust_code:
        raise Judged(
            Reason.RECIPE_INVALID,
            "objective.loss Entrypoint runs code out of the source: set source.trustCode to true.",
        )
    if objective.output is not None and source.outputs is not None:
        names = [spec.name for spec in source.outputs]
        if objective.output not in names:
            raise Judged(
                Reason.RECIPE_INVALID,
                f"objective.output is {objective.output}, the model has the outputs {', '.join(names)}.",
            )


def _impossible(source: Source, start: Medium, position: int, kind: str, steps: list[Step]) -> str:
    if start is not Medium.MODULE:
        return (
            f"Stage {position} ({kind}) works on a torch module, which format {source.format} has not: "
            "use source.format torch, or leave the stage out."
        )
    first = next(step for step in steps if step.medium is Medium.GRAPH)
    return (
        f"Stage {position} ({kind}) works on the torch module, but stage {first.position} ({first.kind}) "
        f"works on the exported graph already: put {kind} before {first.kind}."
    )


def _check_settings(step: Step, objective: Objective | None, roles: Collection[str]) -> None:
    """Raise Judged if what the stage needs is not there."""
    name = f"Stage {step.position} ({step.kind})"
    learns, looks = "train" in roles, bool({"train", "calibration"} & set(roles))
    settings = step.settings
    if isinstance(settings, Finetune):
        _check_training(name, settings, objective, learns)
    if isinstance(settings, Distill):
        if settings.teacher is not None:
            _check_teacher(name, settings.teacher)
        if settings.student is not None and step.position > 1:
            raise Judged(
                Reason.RECIPE_INVALID,
                f"{name}: distill.student takes the place of the source's module, so that what the stages before did "
                "to it would be lost: put this stage first.",
            )
        if not learns:
            raise Judged(Reason.RECIPE_INVALID, f"{name} needs compression.data.train.")
        if objective is None and settings.alpha != 1:
            raise Judged(
                Reason.RECIPE_INVALID,
                f"{name} with alpha below 1 needs compression.objective: alpha 1 learns from the teacher alone.",
            )
    if isinstance(settings, Cut) and settings.keep is not None and not looks:
        raise Judged(
            Reason.RECIPE_INVALID,
            f"{name} with keep needs compression.data.calibration or compression.data.train.",
        )
    if isinstance(settings, Quantize):
        check_quantize(name, settings, roles)
    if isinstance(settings, Prune):
        _check_prune(name, settings, objective, roles)


def _check_teacher(name: str, teacher: Teacher) -> None:
    if teacher.name is None and teacher.weights is None:
        raise Judged(
            Reason.RECIPE_INVALID,
            f"{name}: a teacher has learned something: name one of compression.teachers in teacher.name, or the file "
            "of the source with its weights in teacher.weights.",
        )
    if teacher.name is not None and (teacher.entrypoint or teacher.kwargs or teacher.weights):
        raise Judged(
            Reason.RECIPE_INVALID,
            f"{name}: teacher.name stands alone: entrypoint, kwargs and weights are of a module of the source.",
        )


def _check_training(name: str, settings: Finetune, objective: Objective | None, learns: bool) -> None:
    if objective is None or not learns:
        raise Judged(Reason.RECIPE_INVALID, f"{name} needs compression.data.train and compression.objective.")
    if settings.label_smoothing is not None and objective.loss not in (Loss.CROSS_ENTROPY, Loss.CAUSAL_LM):
        raise Judged(
            Reason.RECIPE_INVALID,
            f"{name} with labelSmoothing needs an objective with loss CrossEntropy or CausalLM, not {objective.loss}.",
        )


def _check_aware(step: Step, steps: list[Step]) -> None:
    """Raise Judged if training is to know of a quantize stage that is not there, or rounds in another way."""
    training = step.settings.recovery if isinstance(step.settings, Prune) else step.settings
    if not (isinstance(training, Training) and training.quantization_aware):
        return
    found = next((item.settings for item in steps if isinstance(item.settings, Quantize)), None)
    name = f"Stage {step.position} ({step.kind}): quantizationAware"
    if found is None or found.mixed is not None or found.smooth_quant or found.algorithm in LEARNING:
        raise Judged(
            Reason.RECIPE_INVALID,
            f"{name} trains for a quantize stage that rounds to nearest: without mixed, without smoothQuant, and "
            "without algorithm GPTQ or AWQ.",
        )
    groups = [found.weights, *(override.weights for override in found.overrides or ())]
    if any(item is not None and item.symmetric is False for item in groups) or (
        found.scales is QuantizeScales.POWER_OF_TWO and not integer_activations(found)
    ):
        raise Judged(
            Reason.RECIPE_INVALID,
            f"{name} keeps weights on their grid in symmetric groups with free scales alone: leave symmetric: false "
            "and scales PowerOfTwo out.",
        )


def _check_prune(name: str, settings: Prune, objective: Objective | None, roles: Collection[str]) -> None:
    learns, looks = "train" in roles, bool({"train", "calibration"} & set(roles))
    amount = settings.amount or PruneAmount()
    given = [key for key in PruneAmount.model_fields if getattr(amount, key) is not None]
    fine = AMOUNTS[settings.structure]
    if len(given) != min(1, len(fine)) or not set(given) <= set(fine):
        wanted = f"exactly one of {', '.join(fine)} as amount" if fine else "no amount, it is half of the weights"
        raise Judged(
            Reason.RECIPE_INVALID,
            f"{name} with structure {settings.structure} takes {wanted}, not {', '.join(given) or 'none'}.",
        )
    if settings.importance in (Importance.TAYLOR, Importance.LOSS_CHANGE) and (objective is None or not learns):
        raise Judged(
            Reason.RECIPE_INVALID,
            f"{name} with importance {settings.importance} needs compression.data.train and compression.objective.",
        )
    compensating = settings.importance is Importance.RECONSTRUCTION or settings.reconstruct
    if compensating and settings.structure is not PruneStructure.CHANNEL:
        raise Judged(
            Reason.RECIPE_INVALID,
            f"{name} makes up for whole channels by importance Reconstruction and reconstruct: use structure Channel.",
        )
    if compensating and not looks:
        raise Judged(
            Reason.RECIPE_INVALID,
            f"{name} with importance Reconstruction or reconstruct needs compression.data.calibration or "
            "compression.data.train.",
        )
    if settings.importance is Importance.LOSS_CHANGE and settings.structure is not PruneStructure.CHANNEL:
        raise Judged(
            Reason.RECIPE_INVALID,
            f"{name} with importance LossChange leaves out one channel after the other: use structure Channel.",
        )
    if settings.recovery is not None:
        if (settings.steps or 1) < 2:
            raise Judged(Reason.RECIPE_INVALID, f"{name}: recovery is training between steps, set steps to 2 or more.")
        _check_training(f"{name}, recovery,", settings.recovery, objective, learns)
    if settings.structure is PruneStructure.SEMI_STRUCTURED and (settings.scope or (settings.steps or 1) > 1):
        raise Judged(Reason.RECIPE_INVALID, f"{name} with structure SemiStructured2x4 takes neither scope nor steps.")
