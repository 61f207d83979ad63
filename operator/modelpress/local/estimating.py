"""`--dry-run`: what a compression would take, from one real load and export of the source and a few timed answers.

Nothing is guessed that can be measured in seconds: memory and time of load and export are this machine's own. What
stages add is reckoned from there by the factors below: those of quantization were measured on one large model, those of
training are rules of thumb. So it is an order of magnitude, and says so.
"""

from __future__ import annotations

import resource
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from modelpress.api.asked import compress_task
from modelpress.api.auto import Auto
from modelpress.api.data import Dataset
from modelpress.api.defaults import CALIBRATION_SAMPLES, with_defaults
from modelpress.api.durations import seconds
from modelpress.api.evaluation import Evaluation
from modelpress.api.stages import Distill, Finetune, Quantize
from modelpress.api.tasks import OUT_FOLDER, CompressTask
from modelpress.compress import recipe
from modelpress.compress.data import Data
from modelpress.compress.datasets.reading import open_dataset
from modelpress.compress.facts import CompressionFacts
from modelpress.compress.formats import FORMATS
from modelpress.compress.judge.judging import ORIGINAL
from modelpress.compress.judge.latency import BUDGET_SECONDS
from modelpress.compress.judge.models import Model, open_model
from modelpress.compress.layout import FACTS
from modelpress.compress.recipe import Step
from modelpress.compress.signature import Signature
from modelpress.compress.stages import WORKS_ON
from modelpress.compress.stages.objectives import check_targets
from modelpress.compress.stages.quantize.scheme import Engine, engine

from . import making, steps
from .asking import Asked
from .steps import Tell
from .timing import BATCH, Pace, folder_of, pace_of, training_seconds
from .workspace import Workspace

ANSWERING = 1.5
"""Time of a teacher's answer in torch by that of onnxruntime, of a source of the same bytes."""
QUANTIZED_BYTES_A_SECOND = 60e6
"""How fast weights are quantized."""
QUANTIZING_MEMORY = 3.1
"""Memory of quantization with 8-bit activations, by the bytes of the weights."""
GROUPED_MEMORY = 0.5
"""The same of weights in groups, which stay in files and are rounded one by one, above LIBRARIES."""
JUDGING_MEMORY = 1.3
"""Memory of the judge, by the bytes of the weights: runtimes pack them anew, those of original and result, above
LIBRARIES."""
LIBRARIES = 600_000_000
"""Bytes of a process that computes, without any model."""
TRAINING_MEMORY = 4.0
"""Memory of training, by the bytes of the weights: they, their gradients, and the optimizer's two averages."""
START_SECONDS = 4.0
"""Start of a step that computes: its libraries."""


@dataclass(frozen=True)
class StageEstimate:
    """One line of the plan."""

    name: str
    works_on: str
    """`module`, `graph` or nothing."""
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """What the whole would take."""

    stages: tuple[StageEstimate, ...]
    memory: int
    """Greatest memory of any process, in bytes."""
    disk: int
    """Space in the result's folder while it runs, in bytes."""
    free_disk: int
    """Space that is there, in bytes."""
    source_bytes: int
    """Bytes of the original as ONNX."""

    @property
    def seconds(self) -> float:
        """All stages together."""
        return sum(stage.seconds for stage in self.stages)


def estimate(asked: Asked, place: Workspace, tell: Tell) -> Estimate:
    """Return what the compression would take, of a ladder with all of its rungs.

    Raises StepError, or Judged for a recipe that cannot be, or one that its data cannot teach.
    """
    compression, rungs = asked.spec.compression, asked.rungs()
    plans = [plan_of(rung) for rung in rungs]
    begin = time.monotonic()
    making.bring_in(asked, place, tell)
    brought = time.monotonic() - begin
    task = compress_task(rungs[0].spec, seconds(with_defaults(compression).job.timeout))
    steps.compress(task.model_copy(update={"stages": (), "auto": None}), place, tell)
    memory = _peak_memory()
    out = place.folder(OUT_FOLDER)
    facts = CompressionFacts.model_validate_json((out / FACTS).read_bytes())
    threads = with_defaults(asked.spec.evaluation or Evaluation()).latency.threads
    original = open_model(out, ORIGINAL, "the original", threads)
    _check_targets(rungs, plans, task, place, original)
    pace = pace_of(asked, place, original)
    weights = facts.original_bytes
    lines = [
        StageEstimate("bring in", "", brought),
        StageEstimate("load, export original", "", START_SECONDS + facts.seconds),
    ]
    alone = memory
    for number, plan in enumerate(plans, start=1):
        which = f"rung {number}: " if compression.ladder is not None else ""
        if number > 1:
            lines.append(StageEstimate(f"{which}load, export original", "", START_SECONDS + facts.seconds))
        peak = alone
        if compression.auto is not None:
            lines.append(_search_estimate(compression.auto))
            peak += round((TRAINING_MEMORY - 1) * weights)
        for step in plan:
            cost = _stage_seconds(step, task, place, pace, weights)
            taught = teacher_bytes(step, place)
            if taught:
                cost += _asking_seconds(step, task, place, pace.answer * taught / weights)
            lines.append(StageEstimate(f"{which}{step.kind}", step.medium, cost))
            peak = max(peak, stage_memory(step, peak, weights) + taught)
        memory = max(memory, peak, LIBRARIES + round(JUDGING_MEMORY * weights))
        if any(step.medium == "module" for step in plan):
            lines.append(StageEstimate(f"{which}export compressed", "", facts.seconds))
        lines.append(StageEstimate(f"{which}measure", "", _judge_seconds(asked, place, pace.answer)))
    disk = sum(item.stat().st_size for item in place.root.rglob("*") if item.is_file()) + 4 * weights
    return Estimate(tuple(lines), memory, disk, shutil.disk_usage(place.root).free, weights)


def plan_of(asked: Asked) -> list[Step]:
    """Return the stages in order and what each works on. Raises Judged with RecipeInvalid."""
    compression, source = asked.spec.compression, asked.spec.source
    medium = FORMATS[source.format][0]
    return recipe.plan(source, medium, compression.recipe, WORKS_ON, compression.objective, asked.datasets())


def _check_targets(
    rungs: Sequence[Asked], plans: Sequence[list[Step]], task: CompressTask, place: Workspace, original: Model
) -> None:
    """Raise Judged if a stage learns from targets that the data lacks, as the compression would before its stages."""
    layout = place.layout()
    data = Data(task, layout.data, layout.source)
    data.signature = Signature(original.input_specs(), original.output_specs())
    for rung, plan in zip(rungs, plans, strict=True):
        settings = [step.settings for step in plan]
        check_targets(rung.spec.compression.objective, settings, data.signature, data)


def _search_estimate(auto: Auto) -> StageEstimate:
    """Return what a search may take: its budget, of which it leaves over what it does not need."""
    budget = with_defaults(auto)
    return StageEstimate(f"search, at most {budget.max_trials} trials", "", seconds(budget.max_time))


def _stage_seconds(step: Step, task: CompressTask, place: Workspace, pace: Pace, weights: int) -> float:
    each = pace.answer
    if isinstance(step.settings, Finetune | Distill):
        return training_seconds(step.settings, pace, _count(task.datasets.get("train"), place, "train"))
    if step.kind == recipe.QUANTIZE:
        given = "calibration" if "calibration" in task.datasets else "train"
        samples = min(_count(task.datasets.get(given), place, given), CALIBRATION_SAMPLES)
        return weights / QUANTIZED_BYTES_A_SECOND + 3 * each * samples + 1
    return 1 + 20 * each * BATCH


def _asking_seconds(step: Step, task: CompressTask, place: Workspace, each: float) -> float:
    """Return what a teacher's answers take, `each` in seconds: they are remembered where the inputs stay the same."""
    settings: Distill = step.settings
    rounds = settings.epochs if settings.augment is not None or settings.features else 1
    return float(rounds) * ANSWERING * each * _count(task.datasets.get("train"), place, "train")


def teacher_bytes(step: Step, place: Workspace) -> int:
    """Return the bytes of the weights of a teacher of its own that the stage learns from, 0 if there is none."""
    teacher = step.settings.teacher if isinstance(step.settings, Distill) else None
    if teacher is None or teacher.name is None:
        return 0
    files = place.layout().teacher(teacher.name).rglob("*.safetensors")
    return sum(file.stat().st_size for file in files)


def stage_memory(step: Step, memory: int, weights: int) -> int:
    """Return the greatest memory, in bytes, once the stage is done; `memory` is that before, `weights` the model's."""
    if isinstance(step.settings, Quantize) and engine(step.settings) is Engine.GROUPS:
        return max(memory, LIBRARIES + round(GROUPED_MEMORY * weights))
    if step.kind == recipe.QUANTIZE:
        return memory + round((QUANTIZING_MEMORY - 1) * weights)
    return memory + round((TRAINING_MEMORY - 1) * weights) if hasattr(step.settings, "epochs") else memory


def _judge_seconds(asked: Asked, place: Workspace, each: float) -> float:
    evaluation = with_defaults(asked.spec.evaluation or Evaluation())
    samples = _count(evaluation.test, place, "test")
    return START_SECONDS + 2 * each * samples + 2 * BUDGET_SECONDS * len(evaluation.latency.batch_sizes)


def _count(dataset: Dataset | None, place: Workspace, role: str) -> int:
    """Return the number of samples of a role."""
    if dataset is None:
        return 0
    opened = open_dataset(dataset, folder_of(role, place))
    count = len(opened.load(opened.names[0], text=True)) if opened.names else 0
    return min(count, dataset.samples or count)


def _peak_memory() -> int:
    """Return the greatest memory of the processes that this one has waited for, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
