"""May the result be served? Asked of the figures anew in every round, so that changed gates need no new compression."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from modelpress.api import gates, keys
from modelpress.api.evaluation import Evaluation, Gate, MeasuredOn
from modelpress.api.figures import Figures
from modelpress.api.reasons import Reason
from modelpress.api.resources import GateOutcome, Rejection, SourceStatus
from modelpress.api.spec import CompressedModelSpec
from modelpress.control.pods import full_sentence
from modelpress.control.standing import Course, Finding, Standing


def judge(spec: CompressedModelSpec, figures: Figures) -> tuple[tuple[GateOutcome, ...], gates.Verdict]:
    """Return the outcome of each gate of `spec` that is measured at compression, and what they amount to."""
    every = (spec.evaluation or Evaluation()).gates or ()
    outcomes, verdict = _judge(figures, gates.measured_on(MeasuredOn.COMPRESSION, every))
    if every and not outcomes:
        told = "Every gate is measured on the serving runtime: see Verified."
        return outcomes, replace(verdict, message=told)
    return outcomes, verdict


@lru_cache(maxsize=4096)
def _judge(figures: Figures, asked: tuple[Gate, ...]) -> tuple[tuple[GateOutcome, ...], gates.Verdict]:
    """The same figures are judged by the same gates several times in each round; the intervals take a while."""
    outcomes = tuple(gates.judge(figures, asked))
    return outcomes, gates.overall(outcomes, asked)


def finding(verdict: gates.Verdict) -> Finding:
    """Return what condition Accepted says of `verdict`."""
    return Finding("True" if verdict.accepted else "False", verdict.reason, verdict.message)


def refusal(verdict: gates.Verdict) -> Standing:
    """Return where a model stands whose result the gates refuse."""
    what_to_do = (
        "Change the recipe, the gates or the test data; rollout.retryToken has the same result measured again."
        if verdict.reason == Reason.GATE_FAILED
        else "Give it more test data, loosen the gate or its confidence, or set onInconclusive."
    )
    told = full_sentence(verdict.message)
    return Standing(Course.STUCK, verdict.reason, f"{told} Nothing of it is served. {what_to_do}")


def rejection(spec: CompressedModelSpec, source: SourceStatus, artifact: str, standing: Standing) -> Rejection:
    """Return what `status.rejected` says of a result that the gates refuse."""
    return Rejection(
        artifact=artifact,
        judged_by=keys.gates_key(spec, source.datasets),
        reason=standing.reason,
        message=standing.message,
    )
