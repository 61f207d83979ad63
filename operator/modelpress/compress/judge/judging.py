"""`judge`: original and result on the same samples, in one process; what `publish` takes.

report.json holds all figures, report.html shows them, reference.npz holds answers that servers must give again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from modelpress.api import gates
from modelpress.api.defaults import EffectiveEvaluation, EffectiveMetric, with_defaults
from modelpress.api.evaluation import Evaluation, Latency, MeasuredOn, of_ours, of_the_source
from modelpress.api.figures import Figures
from modelpress.api.tasks import ANSWERS_FOLDER, OUT_FOLDER, REPORT_FOLDER, TEST_FOLDER, JudgeTask
from modelpress.store import reference
from modelpress.store.locations import in_root
from modelpress.store.manifest import MODEL_FILE, REFERENCE_FILE
from modelpress.store.report import Histogram, LayerFigure, Leaks, Report
from modelpress.store.search import Search

from .. import page
from ..datasets import Samples, read
from ..layout import ASSETS, BASELINES, CACHE_VARIABLE, FACTS
from . import memory
from .answers import ask
from .arguments import check_arguments
from .comparing import Seen, check_output, compare_answers, scorer_of
from .concluding import write
from .environment import describe_environment
from .latency import measure, request, summary
from .layers import compare_layers
from .models import Model, check_same, numpy_dtype, open_model
from .recording import Recorder

Arrays = dict[str, NDArray[Any]]

ORIGINAL, COMPRESSED = "original", "compressed"
LEAKS_FILE = "leaks.json"
"""Left by `fetch` in TEST_FOLDER: what it found of test samples that others may have seen."""
REFERENCE_SAMPLES = 8
RANDOM_SAMPLES, DYNAMIC_LENGTH = 32, 8
"""Without test data: how many random samples, and how long their dynamic axes are."""


def judge(task: JudgeTask) -> None:
    """Measure what compression left in OUT_FOLDER; write report.json, report.html, reference.npz. Raises Judged."""
    out, cache = in_root(OUT_FOLDER), os.environ.get(CACHE_VARIABLE)
    kept = Path(cache) / BASELINES if cache else None
    report, answers = compare(task, out, in_root(TEST_FOLDER), kept, in_root(ANSWERS_FOLDER))
    threads = with_defaults(task.evaluation.latency or Latency()).threads
    taken = memory.measure(*_files(out), answers.inputs, threads)
    report = report.model_copy(update={"memory": taken})
    folder = in_root(REPORT_FOLDER)
    reference.write(answers, folder / REFERENCE_FILE)
    write(report, folder, out)


def compare(
    task: JudgeTask, out: Path, test: Path, kept: Path | None = None, answers: Path | None = None
) -> tuple[Report, reference.Reference]:
    """Return all figures about the models below `out` on the test data in `test`. Raises Judged.

    `kept`: folder in which the original's answers stand for later runs; None: nowhere. `answers`: the one in which
    both models' are left for metrics that the source's code computes, whose figures are yet missing.
    """
    evaluation = with_defaults(task.evaluation.model_copy(update={"test": None}))
    for metric in evaluation.metrics:
        check_arguments(metric)
    threads = evaluation.latency.threads
    original = open_model(out, ORIGINAL, "the original", threads)
    result = open_model(out, COMPRESSED, "the result", threads)
    check_same(original, result)
    samples = test_samples(task.evaluation, evaluation.metrics, original, test, out / ASSETS, task.seed)
    scorers = tuple(scorer_of(metric, original, samples) for metric in of_ours(evaluation.metrics))
    batched = original.batched and result.batched
    with _recording(evaluation.metrics, original, samples, answers) as see:
        found = compare_answers(original, result, samples, scorers, see, kept=kept)
    sizes, warnings = _batch_sizes(evaluation, batched=batched)
    requests = [request(samples.inputs, size, batched=batched) for size in sizes]
    latency = [measure(original, result, feeds, size, threads) for feeds, size in zip(requests, sizes, strict=True)]
    figures = Figures(
        original_bytes=original.size,
        compressed_bytes=result.size,
        metrics=tuple(scorer.figure(task.seed, samples.group) for scorer in scorers),
        latency=tuple(summary(detail) for detail in latency),
        agreement=found.agreement,
    )
    layers, weights = _describe(out, warnings)
    leaks = _leaks(test)
    if result.size >= original.size:
        warnings.append(f"the result has {result.size:,} bytes, the original {original.size:,}: it became no smaller")
    report = Report(
        figures=figures,
        batched=batched,
        inputs=result.inputs,
        outputs=result.outputs,
        original=original.files,
        compressed=result.files,
        samples=samples.count if task.evaluation.test else 0,
        seed=task.seed,
        evaluation=task.evaluation.to_wire(),
        environment=describe_environment(threads),
        warnings=(*leaks.warnings, *_nearly(leaks), *warnings),
        near_duplicates=leaks.near_duplicates,
        name=task.name,
        gates=tuple(gates.judge(figures, gates.measured_on(MeasuredOn.COMPRESSION, task.evaluation.gates))),
        latency=tuple(latency),
        layers=layers,
        weights=weights,
        search=_search(out),
    )
    return report, _reference(
        result, open_model(out, COMPRESSED, "the result", 1, optimized=False), samples, found.largest
    )


@contextmanager
def _recording(
    metrics: Iterable[EffectiveMetric], model: Model, samples: Samples, folder: Path | None
) -> Iterator[Seen]:
    """Yield whom answers are told to, which are recorded in `folder` if any of `metrics` is computed elsewhere."""
    theirs = of_the_source(metrics)
    for metric in theirs:
        check_output(metric, metric.output, model)
    if not theirs or folder is None:
        yield lambda rows, before, after: None
        return
    with Recorder(folder, theirs, [tensor.name for tensor in model.outputs], samples) as recorder:
        yield recorder.see


def _files(out: Path) -> tuple[Path, Path]:
    """Return the files of original and result."""
    return out / ORIGINAL / MODEL_FILE, out / COMPRESSED / MODEL_FILE


def _describe(out: Path, warnings: list[str]) -> tuple[tuple[LayerFigure, ...], Histogram | None]:
    """Return what the report shows of layers and weights. No gate is judged by it, so what it meets is a warning."""
    try:
        return compare_layers(*_files(out))
    except Exception as error:  # an ONNX file may hold whatever its maker thought of
        warnings.append(f"the report shows no layers: {type(error).__name__}: {error}")
        return (), None


def _search(out: Path) -> Search | None:
    """Return how the recipe was searched for, as compression tells it; None if it was given."""
    facts = page.facts_at(out / FACTS)
    return facts.search if facts is not None else None


def test_samples(
    evaluation: Evaluation, metrics: Iterable[EffectiveMetric], model: Model, test: Path, assets: Path, seed: int
) -> Samples:
    """Return the test samples with every column that a metric names; random ones without test data."""
    if evaluation.test is None:
        return random_samples(model, seed)
    columns = {metric.target for metric in metrics if metric.target}
    return read(evaluation.test, test, model.input_specs(), model.output_specs(), seed, columns, assets)


def random_samples(model: Model, seed: int) -> Samples:
    """Return random inputs of the declared shapes: normal floats, integers and truth values of 0 and 1."""
    random = numpy.random.default_rng(seed)
    count = RANDOM_SAMPLES if model.batched else 1
    inputs = {}
    for tensor in model.inputs:
        axes = tensor.shape[1:] if model.batched else tensor.shape
        shape = (count, *(length if length >= 0 else DYNAMIC_LENGTH for length in axes))
        dtype = numpy_dtype(tensor)
        values = random.standard_normal(shape) if dtype.kind == "f" else random.integers(0, 2, shape)
        inputs[tensor.name] = values.astype(dtype)
    return Samples(inputs, {}, count)


def _batch_sizes(evaluation: EffectiveEvaluation, *, batched: bool) -> tuple[list[int], list[str]]:
    """Return the batch sizes to measure, and a warning about those that the model cannot be asked with."""
    sizes = list(dict.fromkeys(evaluation.latency.batch_sizes))
    if batched or sizes == [1]:
        return sizes, []
    return [1], ["the model has no batch axis: latency is that of one sample, whatever batchSizes says"]


def _reference(result: Model, plain: Model, samples: Samples, largest: float) -> reference.Reference:
    """Return a few samples and the answers to each by itself: what is quantized dynamically depends on its batch.

    The tolerance is what other kernels for the same graph make of it (the same model unoptimized), four times over, and
    at least 0.1 % and at most 10 % of the greatest value.
    """
    rows = slice(0, min(REFERENCE_SAMPLES, samples.count) if result.batched else 1)
    answers, other = (_one_by_one(model, samples.inputs, rows) for model in (result, plain))
    off = max(float(abs(array.astype(numpy.float64) - other[name]).max(initial=0)) for name, array in answers.items())
    tolerance = min(max(4 * off, 1e-3 * largest, 1e-6), max(0.1 * largest, 1e-6))
    inputs = {name: numpy.ascontiguousarray(array[rows]) for name, array in samples.inputs.items()}
    if not result.batched:
        inputs, answers = ({name: array[0] for name, array in arrays.items()} for arrays in (inputs, answers))
    assert math.isfinite(tolerance)
    return reference.Reference(inputs, answers, absolute_tolerance=tolerance)


def _one_by_one(model: Model, inputs: Arrays, rows: slice) -> Arrays:
    """Return the answers to samples `rows`, each asked by itself."""
    answers = [ask(model, inputs, slice(row, row + 1)) for row in range(rows.start, rows.stop)]
    return {name: numpy.concatenate([each[name] for each in answers]) for name in answers[0]}


def _leaks(test: Path) -> Leaks:
    """Return what fetch left about leaks."""
    path = test / LEAKS_FILE
    return Leaks.model_validate_json(path.read_bytes()) if path.is_file() else Leaks()


def _nearly(leaks: Leaks) -> list[str]:
    """Return a sentence for each dataset that test samples are nearly in."""
    return [
        f"{near.count} of {near.of} test samples are nearly the same as one in {near.role}, as number "
        f"{', '.join(f'{row} and its {other}' for row, other in near.pairs)}"
        for near in leaks.near_duplicates
        if near.count
    ]
