"""Metrics that a function of the source computes: calling it, and sentences about whatever it does wrong.

Runs tenants' code. It is called where that runs anyway: in a container that can write nothing but scores, or in a
search beside the recipes that are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from modelpress.api.defaults import EffectiveMetric, with_defaults
from modelpress.api.evaluation import Metric
from modelpress.api.reasons import Reason
from modelpress.api.results import Progress
from modelpress.api.spec import UNTRUSTED_METRIC
from modelpress.api.tasks import ScoreTask

from .datasets import Samples, rows_of
from .errors import Judged
from .formats import entrypoint
from .judge.metrics import Scorer
from .judge.recording import MODELS, Recorded, write_scores
from .layout import Layout

Arrays = dict[str, NDArray[Any]]
Scores = NDArray[numpy.float64]

SCORE = "score"
"""What is told as a stage."""
NUMBERS = "biuf"
"""Kinds of elements that are numbers: truth values, whole numbers, floats."""


@dataclass(frozen=True)
class Function:
    """A metric and what computes it."""

    metric: EffectiveMetric
    call: Callable[..., Any]
    folder: Path
    """Of the source."""

    def __call__(self, outputs: Arrays, targets: Arrays, columns: Arrays, first: int) -> Scores:
        """Return a score for each sample, (samples,). Raises Judged with EntrypointFailed.

        `outputs`: one model's answers by output, `targets` by output, `columns` by their own names, all (samples, …);
        `first`: number of the first of these samples.
        Each call gets arrays of its own, so that none can change what another one is given.
        """
        metric, count = self.metric, len(next(iter(outputs.values())))
        seen = outputs if metric.output is None else {metric.output: outputs[metric.output]}
        truth = targets if metric.target is None else {**targets, metric.target: columns[metric.target]}
        with entrypoint.Guard(self.folder, self._words):
            answer = self.call(
                *({name: array.copy() for name, array in given.items()} for given in (seen, truth)), **metric.args
            )
            scores = numpy.asarray(answer)
        wrong = _wrong(answer, scores, count, first)
        if wrong:
            raise Judged(
                Reason.ENTRYPOINT_FAILED,
                f"The {self._words} returned {wrong}: it must return one finite number for each of the {count} samples "
                "of a batch.",
            )
        return scores.astype(numpy.float64)

    @property
    def _words(self) -> str:
        return f"metric {self.metric.name} ({self.metric.entrypoint})"


@dataclass
class Calling:
    """Scores batch after batch as they are answered."""

    function: Function
    samples: Samples

    def __post_init__(self) -> None:
        self.scorer = Scorer(self.function.metric, output="")

    def see(self, rows: slice, original: Arrays, compressed: Arrays) -> None:
        """Score the answers to samples `rows`. Raises Judged with EntrypointFailed."""
        targets, columns = (
            {name: rows_of(values, rows) for name, values in arrays.items()}
            for arrays in (self.samples.targets, self.samples.columns)
        )
        self.scorer.take(*(self.function(given, targets, columns, rows.start) for given in (original, compressed)))


def functions(metrics: Iterable[Metric], folder: Path, *, trusted: bool) -> list[Function]:
    """Return what computes `metrics`, which are of type entrypoint, out of the source in `folder`.

    `trusted`: `source.trustCode`. Raises Judged: InvalidSpec, SourceInvalid, EntrypointFailed.
    """
    found, folder = [], folder.resolve()
    for metric in map(with_defaults, metrics):
        if not trusted:
            raise Judged(Reason.INVALID_SPEC, f"Metric {metric.name}: {UNTRUSTED_METRIC}.")
        assert metric.entrypoint is not None, "that type has one"
        call = entrypoint.find(folder, metric.entrypoint, f"the entrypoint of metric {metric.name},")
        found.append(Function(metric, call, folder))
    return found


def score(task: ScoreTask, layout: Layout, tell: Callable[[Progress], None]) -> None:
    """Score all that the judge recorded, and leave the scores in their folder. Raises Judged."""
    tell(Progress(stage=SCORE))
    recorded = Recorded(layout.answers)
    called = functions(task.metrics, layout.source, trusted=task.trust_code)
    scores = {function.metric.name: numpy.empty((MODELS, recorded.index.samples)) for function in called}
    for batch in recorded.batches():
        for function in called:
            for place, answers in enumerate((batch.original, batch.compressed)):
                found = function(answers, batch.targets, batch.columns, batch.rows.start)
                scores[function.metric.name][place, batch.rows] = found
        tell(Progress(stage=SCORE, fraction=batch.rows.stop / recorded.index.samples))
    for name, both in scores.items():
        write_scores(layout.scores, name, both)


def _wrong(answer: Any, scores: NDArray[Any], count: int, first: int) -> str:
    """Return what is wrong with an answer, in words; nothing if it is `count` finite numbers."""
    if scores.dtype.kind not in NUMBERS:
        return f"{type(answer).__name__}, no numbers"
    if scores.shape != (count,):
        return "one number" if not scores.ndim else f"an array of shape {list(scores.shape)}"
    bad = numpy.flatnonzero(~numpy.isfinite(scores))
    return f"{scores[bad[0]]} for sample {first + bad[0]}" if len(bad) else ""
