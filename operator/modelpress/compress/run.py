"""The work of a compression from source to out folder. Runs in the child process, beside tenants' code."""

from __future__ import annotations

import copy
import importlib.metadata
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from modelpress.api.reasons import Reason
from modelpress.api.results import Progress
from modelpress.api.tasks import CompressTask

from . import assets, graph, recipe
from .checkpoints import Checkpoints
from .datasets import Samples, read
from .errors import Judged
from .export import export
from .facts import CompressionFacts, Size, StageFacts
from .formats import FORMATS, assets_of, torch_source
from .layout import ASSETS, COMPRESSED, FACTS, ORIGINAL, Layout
from .models import GraphModel, Medium, ModuleModel, size_of_module
from .recipe import Step
from .signature import Arrays, Signature, example
from .stages import STAGES
from .stages.channels import count_macs
from .stages.context import Context

LIBRARIES = ("torch", "transformers", "onnx", "onnxruntime", "torch-pruning")
Report = Callable[[Progress], None]


class Data:
    """Reads each dataset once, when it is first asked for."""

    def __init__(self, task: CompressTask, folder: Path) -> None:
        self.task = task
        self.folder = folder
        self.signature: Signature | None = None
        self.known: dict[str, Samples] = {}

    def __call__(self, role: str) -> Samples | None:
        """Return the samples of a role, None if the task has none."""
        if role not in self.task.datasets or self.signature is None:
            return None
        if role not in self.known:
            dataset, folder = self.task.datasets[role], self.folder / role
            self.known[role] = read(dataset, folder, self.signature.inputs, self.signature.outputs, self.task.seed)
        return self.known[role]


class Compression:
    """One compression: its task, where things lie, and whom to tell."""

    def __init__(self, task: CompressTask, layout: Layout, report: Report) -> None:
        self.task = task
        self.layout = layout
        self.report = report
        self.data = Data(task, layout.data)
        self.facts: list[StageFacts] = []
        self.teacher: ModuleModel | None = None
        self.checkpoints: Checkpoints | None = None
        self.position = 0

    def run(self) -> CompressionFacts:
        """Do everything; return what compression.json says. Raises Judged."""
        started = time.monotonic()
        source = self.task.source
        random.seed(self.task.seed)
        np.random.seed(self.task.seed % 2**32)
        torch.manual_seed(self.task.seed)
        medium, load = FORMATS[source.format]
        works_on = {kind: tuple(table) for kind, table in STAGES.items()}
        steps = recipe.plan(source, medium, self.task.stages, works_on, self.task.objective, self.task.datasets)
        self._tell("load", 0.0)
        model = load(source, self.layout.source, self.layout.scratch)
        self.data.signature = model.signature
        original, compressed = self.layout.out / ORIGINAL, self.layout.out / COMPRESSED
        self._write_original(model, original)
        asset_names = assets.carry(assets_of(source, self.layout.source), self.layout.source, self.layout.out / ASSETS)
        result = self._stages(model, steps, original)
        self._place(result, compressed)
        facts = CompressionFacts(
            format=source.format,
            batched=model.signature.batched,
            stages=tuple(self.facts),
            original_bytes=graph.size_of_graph(original).bytes or 0,
            compressed_bytes=graph.size_of_graph(compressed).bytes or 0,
            seconds=round(time.monotonic() - started, 3),
            warnings=tuple(f"{fact.kind}: {text}" for fact in self.facts for text in fact.warnings),
            assets=tuple(asset_names),
            versions={name: importlib.metadata.version(name) for name in LIBRARIES},
        )
        (self.layout.out / FACTS).write_text(facts.model_dump_json(by_alias=True, exclude_none=True, indent=1))
        return facts

    def _context(self, number: int) -> Context:
        scratch = self.layout.scratch / f"stage-{number}"
        scratch.mkdir(parents=True, exist_ok=True)
        return Context(
            samples=self.data,
            seed=self.task.seed,
            scratch=scratch,
            source=self.layout.source,
            spec=self.task.source,
            objective=self.task.objective,
            quantization=next((item.quantize for item in self.task.stages if item.quantize is not None), None),
            teacher=self.teacher,
        )

    def _write_original(self, model: ModuleModel | GraphModel, path: Path) -> None:
        """Export or copy the untouched source."""
        calibration = self._context(0).calibration()
        if isinstance(model, ModuleModel):
            torch_source.probe(model, self.layout.source, calibration, self.task.seed)
            self._tell("export", 0.0, "original")
            export(model, path, self.layout.source, calibration, self.task.seed)
        else:
            check_answers(model, calibration, self.task.seed)
            self._place(model, path)

    def _stages(self, model: ModuleModel | GraphModel, steps: list[Step], original: Path) -> GraphModel:
        """Do the steps; the export stands where the medium changes, or at the end."""
        if isinstance(model, ModuleModel) and any(step.kind == "distill" for step in steps):
            self.teacher = ModuleModel(copy.deepcopy(model.module), model.signature)
        if isinstance(model, ModuleModel) and self.layout.cache is not None:
            self.checkpoints = Checkpoints(self.layout.cache, self.task, self.layout)
            model, self.facts = self.checkpoints.restore(model, steps, self._context(0).calibration())
        for step in steps[len(self.facts) :]:
            if step.medium is Medium.GRAPH and isinstance(model, ModuleModel):
                model = self._exported(model, original)
            model = self._stage(model, step)
            if isinstance(model, ModuleModel):
                self._keep(model)
        return self._exported(model, original) if isinstance(model, ModuleModel) else model

    def _keep(self, model: ModuleModel) -> None:
        """Keep what stands now for later runs; that the folder is full or read-only fails nothing."""
        if self.checkpoints is None:
            return
        try:
            self.checkpoints.save(model, self.facts, self._context(0).calibration())
        except OSError as error:
            last = self.facts[-1]
            text = f"What stands after it could not be kept for later runs: {error.strerror}."
            self.facts[-1] = last.model_copy(update={"warnings": (*last.warnings, text)})

    def _exported(self, model: ModuleModel, original: Path) -> GraphModel:
        """Export what the stages made of the module; an untouched one was exported already."""
        if not self.facts:
            return GraphModel(original, model.signature)
        self._tell("export", 0.0, "compressed")
        path = self.layout.scratch / "exported" / "model.onnx"
        return export(model, path, self.layout.source, self._context(0).calibration(), self.task.seed)

    def _stage(self, model: ModuleModel | GraphModel, step: Step) -> ModuleModel | GraphModel:
        self.position = step.position
        context = self._context(step.position)
        context.report = lambda fraction, detail: self._tell(step.kind, fraction, detail)
        self._tell(step.kind, 0.0)
        before, started = self._size(model), time.monotonic()
        result: ModuleModel | GraphModel = STAGES[step.kind][step.medium](model, step.settings, context)
        self.facts.append(
            StageFacts(
                position=step.position,
                kind=step.kind,
                works_on=step.medium,
                before=before,
                after=self._size(result),
                seconds=round(time.monotonic() - started, 3),
                notes=tuple(context.notes),
                warnings=tuple(context.warnings),
                layers=tuple(context.layers),
            )
        )
        return result

    def _size(self, model: ModuleModel | GraphModel) -> Size:
        if isinstance(model, GraphModel):
            return graph.size_of_graph(model.path)
        inputs = example(model.signature, 2, self.task.seed, self._context(0).calibration())
        macs = count_macs(model, model.module, {name: torch.from_numpy(value) for name, value in inputs.items()})
        return size_of_module(model, macs)

    def _place(self, model: GraphModel, path: Path) -> None:
        """Put a graph and its external data to where it belongs."""
        path.parent.mkdir(parents=True, exist_ok=True)
        for file in graph.files_of(model.path):
            shutil.copyfile(file, path.parent / (path.name if file == model.path else file.name))

    def _tell(self, stage: str, fraction: float, detail: str = "") -> None:
        of = len(self.task.stages)
        self.report(Progress(stage=stage, position=self.position, of=of, fraction=fraction, detail=detail))


def check_answers(model: GraphModel, data: Arrays | None, seed: int) -> None:
    """Run the source's graph once. Raises Judged: SourceInvalid, or NotFinite on given data."""
    try:
        outputs = graph.run(graph.open_session(model.path), example(model.signature, 2, seed, data))
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise Judged(Reason.SOURCE_INVALID, f"The model does not run: {' '.join(str(error).split())[:400]}") from error
    broken = graph.not_finite(outputs)
    if broken and data is not None:
        raise Judged(
            Reason.NOT_FINITE,
            f"Output {broken[0]} of the model holds NaN or infinity on given data: check the weights.",
        )
