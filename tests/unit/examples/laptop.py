"""What a cluster does with an example, in this process: compress and judge; as a program, print the figures."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.unit.compress.sources import layout

from modelpress.api.data import Dataset
from modelpress.api.evaluation import Evaluation
from modelpress.api.gates import judge
from modelpress.api.results import Progress
from modelpress.api.spec import CompressedModelSpec
from modelpress.api.tasks import CompressTask, JudgeTask
from modelpress.compress.facts import CompressionFacts
from modelpress.compress.judge.judging import compare
from modelpress.compress.run import Compression
from modelpress.store.report import Report

EXAMPLES = Path(__file__).parents[3] / "examples"


@dataclass(frozen=True)
class Outcome:
    """What came of an example."""

    spec: CompressedModelSpec
    facts: CompressionFacts
    report: Report
    out: Path


def load_file(example: str, file: str) -> Any:
    """Return a file of the example as a module; what it imports from beside it is imported again."""
    for name in ("model", "common"):
        sys.modules.pop(name, None)
    found = importlib.util.spec_from_file_location(f"{example}_{Path(file).stem}", EXAMPLES / example / file)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    before = list(sys.path)
    try:
        found.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module


def prepare(example: str, folder: Path, *arguments: Any, **options: Any) -> None:
    """Run the example's prepare.py."""
    load_file(example, "prepare.py").main(folder, *arguments, **options)


def spec_of(example: str, file: str = "model.yaml") -> CompressedModelSpec:
    return CompressedModelSpec.model_validate(yaml.safe_load((EXAMPLES / example / file).read_text())["spec"])


def run(
    spec: CompressedModelSpec, prepared: Path, root: Path, tell: Callable[[Progress], None] = lambda _progress: None
) -> Outcome:
    """Compress and judge what `prepare` wrote."""
    where = layout(root)
    shutil.copytree(prepared / "source", where.source)
    data = spec.compression.data
    roles = {role: found for role in ("train", "validation", "calibration") if (found := getattr(data, role, None))}
    evaluation = spec.evaluation or Evaluation()
    for role, dataset in roles.items():
        place(dataset, prepared, where.data / role)
    if evaluation.test is not None:
        place(evaluation.test, prepared, root / "test")
    task = CompressTask(
        source=spec.source,
        stages=spec.compression.recipe,
        auto=spec.compression.auto,
        evaluation=evaluation.model_copy(update={"test": None}),
        objective=spec.compression.objective,
        datasets=roles,
    )
    facts = Compression(task, where, tell).run()
    report, _ = compare(JudgeTask(evaluation=evaluation), where.out, root / "test")
    return Outcome(spec, facts, report, where.out)


def place(dataset: Dataset, prepared: Path, folder: Path) -> None:
    name = dataset.uri.rpartition("/")[2]
    folder.mkdir(parents=True)
    shutil.copy(prepared / "data" / name, folder / name)


def main(example: str, prepared: Path, root: Path, file: str = "model.yaml") -> None:
    """Print the figures of an example."""
    outcome = run(spec_of(example, file), prepared, root)
    figures = outcome.report.figures
    ratio = figures.original_bytes / figures.compressed_bytes
    print(f"{figures.original_bytes:,} → {figures.compressed_bytes:,} bytes, {ratio:.2f} times smaller")
    print(f"agreement {figures.agreement}")
    for metric in figures.metrics:
        print(metric.model_dump_json(exclude_none=True))
    for latency in figures.latency:
        print(latency.model_dump_json(exclude_none=True))
    for fact in outcome.facts.stages:
        print(fact.kind, fact.before.macs, fact.after.macs, *fact.notes, *fact.warnings)
    for gate in judge(figures, (outcome.spec.evaluation or Evaluation()).gates or ()):
        print(gate.outcome, gate.message)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
