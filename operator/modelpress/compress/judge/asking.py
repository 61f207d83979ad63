"""`ask`: a server's own answers to the test data, beside the original's and those of the version that serves.

The metrics are those of the judge, computed by the same code: only the result's answers come over the network. Latency
is the round trip as a client meets it, through the pod's proxy, one request at a time.
"""

from __future__ import annotations

import functools
import hashlib
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy
from numpy.typing import NDArray

from modelpress.api.defaults import EffectiveEvaluation, with_defaults
from modelpress.api.reasons import Reason
from modelpress.api.results import AskResult
from modelpress.api.tasks import OUT_FOLDER, TEST_FOLDER, AskTask, Comparison
from modelpress.api.verification import ServedFigures, ServedLatency
from modelpress.store.digests import CONTENT
from modelpress.store.locations import in_root
from modelpress.triton.grpc_client import GrpcClient

from ..datasets import Samples
from ..errors import Judged
from ..layout import ASSETS
from .arguments import check_arguments
from .comparing import compare_answers, scorer_of
from .disagreeing import Disagreeing
from .judging import ORIGINAL, test_samples
from .latency import request
from .models import open_model
from .served import Served, measure, served

Arrays = dict[str, NDArray[Any]]


def ask_server(task: AskTask) -> AskResult:
    """Return what the server's answers to the test data come to. Raises Judged."""
    evaluation = with_defaults(task.evaluation.model_copy(update={"test": None}))
    for metric in evaluation.metrics:
        check_arguments(metric)
    original = open_model(in_root(OUT_FOLDER), ORIGINAL, "the original", evaluation.latency.threads)
    assets = in_root(OUT_FOLDER) / ASSETS
    samples = test_samples(task.evaluation, evaluation.metrics, original, in_root(TEST_FOLDER), assets, task.seed)
    scorers = tuple(scorer_of(metric, original, samples) for metric in evaluation.metrics)
    with ExitStack() as clients:
        client = clients.enter_context(GrpcClient(task.address, task.model, task.version))
        server = served("the server", client, original)
        disagreeing = None
        if task.comparison is not None:
            client = clients.enter_context(GrpcClient(task.comparison.address, task.model))
            stable = served("the server of the version that serves", client, original)
            disagreeing = Disagreeing(stable, samples, task.comparison, _output(task.comparison, server))
        watch = _Watch(disagreeing)
        found = compare_answers(original, server, samples, scorers, watch.see, server.most)
        figures = ServedFigures(
            samples=samples.count,
            metrics=tuple(scorer.figure(task.seed, samples.group) for scorer in scorers),
            latency=_latency(server, samples, evaluation),
            agreement=found.agreement,
        )
    return AskResult(
        figures=figures,
        disagreement=disagreeing.figure() if disagreeing is not None else None,
        answers_digest=CONTENT + watch.digest.hexdigest(),
    )


@dataclass
class _Watch:
    """Sees every answer of the server to the test data."""

    disagreeing: Disagreeing | None
    digest: Any = field(default_factory=hashlib.sha256)

    def see(self, rows: slice, _original: Arrays, answers: Arrays) -> None:
        """Take in the server's answers to samples `rows`."""
        for name in sorted(answers):
            self.digest.update(numpy.ascontiguousarray(answers[name]).tobytes())
        if self.disagreeing is not None:
            self.disagreeing.add(rows, answers)


def _latency(server: Served, samples: Samples, evaluation: EffectiveEvaluation) -> tuple[ServedLatency, ...]:
    """Return the latency at each batch size that is asked for, or at the largest that the server takes."""
    found = []
    for size in dict.fromkeys(min(size, server.most) for size in evaluation.latency.batch_sizes):
        feeds = request(samples.inputs, size, batched=server.batched)
        found.append(measure(functools.partial(server.run, feeds), size))
    return tuple(found)


def _output(asked: Comparison, server: Served) -> str:
    """Return the output that is compared. Raises Judged if the model has none of that name."""
    output = asked.output or next(iter(server.axes))
    if output not in server.axes:
        told = f"rollout.analysis.disagreement: the model has no output {output!r}; it has {', '.join(server.axes)}"
        raise Judged(Reason.EVALUATION_FAILED, told)
    return output
