"""The work of a compression from source to out folder. Runs in the child process, beside tenants' code."""

from __future__ import annotations

import importlib.metadata
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from modelpress.api.reasons import Reason
from modelpress.api.tasks import CompressTask
from modelpress.store.search import Search

from . import assets, graph, recipe
from .checkpoints import Checkpoints
from .data import Data
from .errors import Judged
from .export import export
from .facts import CompressionFacts, StageFacts
from .formats import FORMATS, Loader, assets_of, torch_source, transformers_source
from .layout import ASSETS, COMPRESSED, FACTS, ORIGINAL, STAGES, Layout
from .models import GraphModel, Medium, ModuleModel
from .recipe import Step
from .recipe_run import RecipeRun, Report, seed_everything
from .scoring import functions
from .search.searching import Searching
from .signature import Arrays, example
from .stages import WORKS_ON
from .stages.objectives import check_targets

LIBRARIES = ("torch", "transformers", "onnx", "onnxruntime", "torch-pruning")


class Compression:
    """One compression: its task, where things lie, and whom to tell."""

    def __init__(self, task: CompressTask, layout: Layout, report: Report) -> None:
        self.task = task
        self.layout = layout
        self.data = Data(task, layout.data, layout.source)
        self.work = RecipeRun(task, layout, self.data, report)

    def run(self) -> CompressionFacts:
        """Do everything; return what compression.json says. Raises Judged."""
        started = time.monotonic()
        source = self.task.source
        functions(self.task.metrics or (), self.layout.source, trusted=bool(source.trust_code))
        seed_everything(self.task.seed)
        medium, load = FORMATS[source.format]
        steps = recipe.plan(source, medium, self.task.stages, WORKS_ON, self.task.objective, self.task.datasets)
        original, compressed = self.layout.out / ORIGINAL, self.layout.out / COMPRESSED
        self.work.tell("load", 0.0)
        asset_names = assets.carry(assets_of(source, self.layout.source), self.layout.source, self.layout.out / ASSETS)
        if self.layout.cache is not None and medium is not Medium.GRAPH:
            self.work.checkpoints = Checkpoints(self.layout.cache / STAGES, self.task, self.layout)
        result, stages, found = self._result(load, steps, original)
        place(result, compressed)
        for fact in stages:
            if fact.configuration is not None and transformers_source.CONFIG in asset_names:
                assets.amend(self.layout.out / ASSETS / transformers_source.CONFIG, fact.configuration)
        facts = CompressionFacts(
            format=source.format,
            batched=result.signature.batched,
            stages=tuple(stages),
            original_bytes=graph.size_of_graph(original).bytes or 0,
            compressed_bytes=graph.size_of_graph(compressed).bytes or 0,
            seconds=round(time.monotonic() - started, 3),
            warnings=tuple(f"{fact.kind}: {text}" for fact in stages for text in fact.warnings),
            assets=tuple(asset_names),
            versions={name: importlib.metadata.version(name) for name in LIBRARIES},
            search=found,
        )
        (self.layout.out / FACTS).write_text(facts.model_dump_json(by_alias=True, exclude_none=True, indent=1))
        return facts

    def _result(
        self, load: Loader, steps: list[Step], original: Path
    ) -> tuple[GraphModel, list[StageFacts], Search | None]:
        """Return what the recipe made of the source, what its stages did, and, if it was searched for, all trials.

        Nobody here holds on to the source, so that a module is freed once it is exported.
        """
        if self.task.auto is not None:
            source = self._loaded(load, original)
            outcome = Searching(self.task, self.layout, source, original, self.data, self.work.report).run()
            return outcome.model, outcome.facts, outcome.search
        return self.work.run(self._loaded(load, original, steps), steps, original), self.work.facts, None

    def _loaded(self, load: Loader, original: Path, steps: Sequence[Step] = ()) -> ModuleModel | GraphModel:
        """Load the source, and write the untouched original."""
        model = load(self.task.source, self.layout.source, self.layout.scratch)
        self.data.signature = model.signature
        check_targets(self.task.objective, [step.settings for step in steps], model.signature, self.data)
        self._write_original(model, original)
        return model

    def _write_original(self, model: ModuleModel | GraphModel, path: Path) -> None:
        """Export or copy the untouched source."""
        calibration = self.work.context(0).calibration()
        if isinstance(model, ModuleModel):
            torch_source.probe(model, self.layout.source, calibration, self.task.seed)
            self.work.tell("export", 0.0, "original")
            export(model, path, self.layout.source, calibration, self.task.seed)
        else:
            check_answers(model, calibration, self.task.seed)
            place(model, path)


def place(model: GraphModel, path: Path) -> None:
    """Put a graph and its external data to where it belongs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for file in graph.files_of(model.path):
        shutil.copyfile(file, path.parent / (path.name if file == model.path else file.name))


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
