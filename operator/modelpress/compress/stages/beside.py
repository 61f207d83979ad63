"""Other modules of the source, beside the model: a student that starts anew, a teacher that knows more.

Runs tenants' code.
"""

from __future__ import annotations

from pathlib import Path

import torch

from modelpress.api.reasons import Reason
from modelpress.api.source import Source
from modelpress.api.stages import SourceModule

from ..errors import Judged
from ..formats import entrypoint, weights
from ..formats.entrypoint import Guard
from ..models import ModuleModel, tensors
from ..signature import Arrays, Signature, describe, example

SAMPLES = 2
STUDENT, TEACHER = "distill.student", "distill.teacher"


def build(
    settings: SourceModule, field: str, source: Source, folder: Path, signature: Signature, seed: int
) -> ModuleModel:
    """Return the module with its first weights. Raises Judged as loading a source of format torch does.

    `field` of the recipe asks for it; `folder` is the source's.
    """
    where = settings.entrypoint or source.entrypoint
    if where is None or not source.trust_code:
        raise Judged(Reason.RECIPE_INVALID, f"{field} is built by an entrypoint: it needs source.format torch.")
    torch.manual_seed(seed)
    module = entrypoint.build(folder.resolve(), where, dict(settings.kwargs or {}), f"{field}.entrypoint")
    if settings.weights is not None:
        weights.load(module, folder, settings.weights)
    for parameter in module.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return ModuleModel(module.eval(), signature)


def check(model: ModuleModel, other: ModuleModel, field: str, data: Arrays | None, seed: int, folder: Path) -> None:
    """Raise Judged unless the other module takes what the source's module takes, and answers in the same shapes."""
    inputs = tensors(example(model.signature, SAMPLES, seed, data))
    with torch.no_grad():
        wanted = model.call(inputs)
        with Guard(folder, f"forward of {field}"):
            got = other.call(inputs)
    for spec, one, expected in zip(model.signature.outputs, got, wanted, strict=True):
        if one.shape != expected.shape:
            raise Judged(
                Reason.RECIPE_INVALID,
                f"{field} answers {spec.name} in the shape {describe(one.shape)}, the source in "
                f"{describe(expected.shape)}: build it with as many outputs.",
            )
