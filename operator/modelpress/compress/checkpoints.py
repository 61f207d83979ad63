"""What stood after each stage on a module, kept in a folder, so that no later run repeats what is the same.

A killed run goes on after the last stage that ended, and another recipe that begins alike takes over what they share.
The key is everything that decides the outcome: content of the source, of the data and of the teachers that are learned
from, how they are read, objective, seed, versions, and the stages so far. Kept are JSON and safetensors, written aside
and renamed: whole or absent. What does not give the same answers as before is not used.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import hashlib
import importlib.metadata
import json
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors

from modelpress.api.keys import canonical_json
from modelpress.api.source import Source
from modelpress.api.stages import Stage, Training
from modelpress.api.tasks import CompressTask
from modelpress.api.teachers import teachers_of
from modelpress.store.digests import content_digest, hash_file

from .errors import Judged
from .export import distance
from .facts import StageFacts
from .layout import Layout
from .models import Medium, ModuleModel
from .recipe import QUANTIZE, Step
from .signature import Arrays, example
from .stages import beside
from .structure import DoesNotFitError, describe, rebuild, tensors_of

ROLES = ("train", "validation", "calibration")
PARTS = ("torch", "torch-pruning")
VERSION = 4
"""Goes into every key. It grows when a stage of the same settings comes to do something else."""
STRUCTURE, TENSORS, ANSWERS = "structure.json", "tensors.safetensors", "answers.safetensors"
TOLERANCE = 1e-4
"""Greatest relative difference of the answers of a module that was put together again."""
SAMPLES = 2
AGAIN = "Taken over from an earlier run."


class Checkpoints:
    """The folder, for one task."""

    def __init__(self, folder: Path, task: CompressTask, layout: Layout, withheld: str = "") -> None:
        """`withheld`: which samples of the data stages do not see, in words; nothing if they see all."""
        self.folder = folder
        self.task = task
        self.source = layout.source
        self.content = {
            "versions": {"stages": VERSION} | {name: importlib.metadata.version(name) for name in PARTS},
            "source": _loaded(layout.source, task.source),
            "objective": task.objective.to_wire() if task.objective is not None else None,
            "seed": task.seed,
            "data": {
                role: {"content": _content(layout.data / role)} | dataset.to_wire() | {"uri": None, "digest": None}
                for role, dataset in task.datasets.items()
                if role in ROLES
            },
        } | ({"withheld": withheld} if withheld else {})
        self.teachers = {name: _loaded(layout.teacher(name), source) for name, source in task.teachers.items()}

    def of(self, stages: tuple[Stage, ...]) -> Checkpoints:
        """Return those of another recipe for the same source and data."""
        other = copy.copy(self)
        other.task = self.task.model_copy(update={"stages": stages})
        return other

    def key(self, count: int) -> str:
        """Return the key of what stands after so many stages."""
        done, later = self.task.stages[:count], self.task.stages[count:]
        known = [stage for stage in later if stage.kind == QUANTIZE and any(_knows_later(item) for item in done)]
        content = {**self.content, "stages": [stage.to_wire() for stage in done]}
        if known:
            content["quantize"] = known[0].to_wire()
        if taught := teachers_of(done):
            content["teachers"] = {name: self.teachers[name] for name in sorted(taught)}
        return hashlib.sha256(canonical_json(content)).hexdigest()

    def restore(
        self, source: ModuleModel, steps: Sequence[Step], data: Arrays | None
    ) -> tuple[ModuleModel, list[StageFacts]]:
        """Return the module after the longest prefix of the steps that is kept, and what its stages did.

        Nothing kept: the source itself and an empty list. The source is left as it is.
        """
        modules = [step for step in steps if step.medium is Medium.MODULE]
        for count in range(len(modules), 0, -1):
            place = self.folder / self.key(count)
            if not place.is_dir():
                continue
            model = self._start(source)
            with contextlib.suppress(DoesNotFitError, Judged, OSError, ValueError, KeyError, SafetensorError):
                document = json.loads((place / STRUCTURE).read_text(encoding="utf-8"))
                facts = [StageFacts.model_validate(item) for item in document["facts"]]
                rebuild(model, document["structure"], load_tensors(place / TENSORS))
                if len(facts) == count and self._same(model, place, data):
                    return model, [item.model_copy(update={"notes": (*item.notes, AGAIN)}) for item in facts]
            shutil.rmtree(place, ignore_errors=True)
        return source, []

    def _start(self, source: ModuleModel) -> ModuleModel:
        """Return what the first stage began with: the source, or a student of its own."""
        first = self.task.stages[0]
        if first.distill is not None and first.distill.student is not None:
            task = self.task
            asked = first.distill.student
            return beside.build(asked, beside.STUDENT, task.source, self.source, source.signature, task.seed)
        return ModuleModel(copy.deepcopy(source.module), source.signature)

    def save(self, model: ModuleModel, facts: Sequence[StageFacts], data: Arrays | None) -> None:
        """Keep what stands after the stages of these facts. Raises OSError, and leaves nothing half written."""
        place = self.folder / self.key(len(facts))
        aside = self.folder / f".{uuid.uuid4().hex}"
        try:
            aside.mkdir(parents=True)
            save_tensors(tensors_of(model), aside / TENSORS)
            answers = model.run(self._inputs(model, data))
            save_file({name: np.ascontiguousarray(item) for name, item in answers.items()}, aside / ANSWERS)
            document: dict[str, Any] = {"structure": describe(model), "facts": [item.to_wire() for item in facts]}
            (aside / STRUCTURE).write_text(json.dumps(document), encoding="utf-8")
            shutil.rmtree(place, ignore_errors=True)
            os.replace(aside, place)  # noqa: PTH105 - Path.replace says nothing about folders
        except SafetensorError as error:  # a full disk is none of Python's errors there
            raise OSError(errno.EIO, " ".join(str(error).split())) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _same(self, model: ModuleModel, place: Path, data: Arrays | None) -> bool:
        expected, got = load_file(place / ANSWERS), model.run(self._inputs(model, data))
        return set(expected) == set(got) and all(distance(expected[name], got[name]) <= TOLERANCE for name in got)

    def _inputs(self, model: ModuleModel, data: Arrays | None) -> Arrays:
        return example(model.signature, SAMPLES, self.task.seed, data)


def _knows_later(stage: Stage) -> bool:
    """Whether a stage trains for the quantize stage after it."""
    training = stage.prune.recovery if stage.prune is not None else stage.settings
    return isinstance(training, Training) and bool(training.quantization_aware)


def _loaded(folder: Path, source: Source) -> dict[str, Any]:
    """Return what a model in a folder is: its content, and how it is loaded."""
    return {"content": _content(folder)} | source.to_wire() | {"uri": None, "digest": None}


def _content(folder: Path) -> str:
    """Return the content digest of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return content_digest({str(path.relative_to(folder)): hash_file(path) for path in files})
