"""The order of work, decided before any of it starts: stages on the module, the export, stages on the graph. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from modelpress.api.compression import Objective
from modelpress.api.reasons import Reason
from modelpress.api.source import Source
from modelpress.api.stages import Prune, PruneStructure, Quantize, Stage

from .errors import Judged
from .models import Medium
from .quantize_settings import check_quantize

QUANTIZE = "quantize"


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
        able = works_on[stage.kind]
        if medium not in able:
            medium = Medium.GRAPH
        if medium not in able:
            raise Judged(Reason.RECIPE_INVALID, _impossible(source, start, position, stage.kind, steps))
        steps.append(Step(position, stage.kind, stage.settings, medium))
    for step in steps:
        _check_settings(step, objective, roles)
    again = [step.position for step in steps if step.kind == QUANTIZE]
    if len(again) > 1:
        raise Judged(Reason.RECIPE_INVALID, f"Stages {again[0]} and {again[1]} both quantize: keep one of them.")
    if objective is not None and objective.output is not None and source.outputs is not None:
        names = [spec.name for spec in source.outputs]
        if objective.output not in names:
            raise Judged(
                Reason.RECIPE_INVALID,
                f"objective.output is {objective.output}, the model has the outputs {', '.join(names)}.",
            )
    return steps


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
    if step.kind == "finetune" and (objective is None or "train" not in roles):
        raise Judged(Reason.RECIPE_INVALID, f"{name} needs compression.data.train and compression.objective.")
    if isinstance(step.settings, Quantize):
        check_quantize(name, step.settings, roles)
    if isinstance(step.settings, Prune):
        amount = step.settings.amount
        given = [key for key in ("channels", "sparsity", "parameters", "macs") if getattr(amount, key) is not None]
        fine = (
            {"sparsity"}
            if step.settings.structure is PruneStructure.UNSTRUCTURED
            else {"channels", "parameters", "macs"}
        )
        if len(given) != 1 or given[0] not in fine:
            raise Judged(
                Reason.RECIPE_INVALID,
                f"{name} with structure {step.settings.structure} takes exactly one of {', '.join(sorted(fine))} as "
                f"amount, not {', '.join(given) or 'none'}.",
            )
