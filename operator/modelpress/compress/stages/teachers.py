"""Teachers of their own, which lie beside the source: loading one, and whether a student can learn from it.

Runs tenants' code where a teacher has format torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from modelpress.api.reasons import Reason
from modelpress.api.source import Source, SourceFormat

from ..datasets.text import FILE as TOKENIZER
from ..errors import Judged
from ..formats import entrypoint, torch_source, transformers_source
from ..formats.entrypoint import Guard
from ..models import ModuleModel, tensors
from ..signature import Signature, describe, example, type_of
from .context import Context

SAMPLES = 2


def bring(name: str, student: ModuleModel, context: Context) -> ModuleModel:
    """Return the teacher of that name, once it is known to take and to answer what the student does.

    Raises Judged: RecipeInvalid where they do not fit each other, and whatever loading a source raises.
    """
    if name not in context.teachers:
        known = ", ".join(context.teachers) or "none"
        raise Judged(
            Reason.RECIPE_INVALID, f"distill.teacher.name is {name}, compression.teachers has {known}: correct one."
        )
    source, folder = context.teachers[name]
    try:
        teacher = _load(name, source, folder, context)
        _check_inputs(student.signature, teacher.signature)
        _check_words(context.source, folder)
        _check_answers(student, teacher, name, folder, context)
    except Judged as refused:
        raise Judged(refused.reason, f"Teacher {name}: {refused.message}") from refused
    return teacher


def _load(name: str, source: Source, folder: Path, context: Context) -> ModuleModel:
    if source.format is SourceFormat.TORCH:
        package = f"{entrypoint.PACKAGE}_{name.replace('-', '_')}"
        with entrypoint.apart(folder.resolve(), context.source.resolve()):
            return torch_source.load(source, folder, context.scratch, package)
    return transformers_source.load(source, folder, context.scratch)


def _check_inputs(student: Signature, teacher: Signature) -> None:
    """Raise Judged unless both take inputs of the same names, types and axes."""
    names = [spec.name for spec in student.inputs]
    found = {spec.name: spec for spec in teacher.inputs}
    if set(found) != set(names):
        raise Judged(
            Reason.RECIPE_INVALID,
            f"it takes {', '.join(found)}, the source {', '.join(names)}: take a model of the same inputs, or name "
            "them in its inputs as the source does.",
        )
    for spec in student.inputs:
        other = found[spec.name]
        if type_of(spec) != type_of(other):
            raise Judged(
                Reason.RECIPE_INVALID,
                f"it takes {spec.name} in {type_of(other)}, the source in {type_of(spec)}: give both the same dtype.",
            )
        wanted, got = spec.shape or (), other.shape or ()
        same = len(wanted) == len(got) and student.batched == teacher.batched
        if not same or any(
            one != two for one, two in zip(wanted, got, strict=True) if isinstance(one, int) and isinstance(two, int)
        ):
            raise Judged(
                Reason.RECIPE_INVALID,
                f"it takes {spec.name} in the shape {describe(got)}, the source in {describe(wanted)}: take a model of "
                "the same inputs.",
            )


def _check_words(source: Path, teacher: Path) -> None:
    """Raise Judged if both have a tokenizer and number words in other ways."""
    if _words(source) not in (None, _words(teacher)) and _words(teacher) is not None:
        raise Judged(
            Reason.RECIPE_INVALID,
            f"its {TOKENIZER} numbers words in another way than the source's, so that the same ids are another text "
            "to it: take a model with the same vocabulary.",
        )


def _words(folder: Path) -> Any:
    """Return the vocabulary of a folder's tokenizer, None if it has none that can be read."""
    try:
        document = json.loads((folder / TOKENIZER).read_text(encoding="utf-8"))
        added = sorted((item["id"], item["content"]) for item in document.get("added_tokens") or ())
        return document["model"]["vocab"], added
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _check_answers(student: ModuleModel, teacher: ModuleModel, name: str, folder: Path, context: Context) -> None:
    """Raise Judged unless the teacher answers what is compared, in the student's shapes."""
    named = context.objective.output if context.objective is not None else None
    inputs = tensors(example(student.signature, SAMPLES, context.seed, context.calibration()))
    student.module.eval()
    with torch.no_grad():
        wanted = dict(zip((spec.name for spec in student.signature.outputs), student.call(inputs), strict=True))
        with Guard(folder, f"forward of teacher {name}"):
            answers = teacher.call(inputs)
    got = dict(zip((spec.name for spec in teacher.signature.outputs), answers, strict=True))
    for output, expected in wanted.items():
        if not expected.is_floating_point() or named not in (None, output):
            continue
        alike = [item for item, value in wanted.items() if item in got and got[item].shape == value.shape]
        way_out = f", or name {alike[0]} in objective.output" if alike else ""
        if output not in got:
            raise Judged(
                Reason.RECIPE_INVALID,
                f"it answers {', '.join(got)}, and nothing called {output}: name its outputs as the source's{way_out}.",
            )
        if got[output].shape != expected.shape:
            raise Judged(
                Reason.RECIPE_INVALID,
                f"it answers {output} in the shape {describe(got[output].shape)}, the source in "
                f"{describe(expected.shape)}: take a model of as many classes or numbers{way_out}.",
            )
