"""What a revision has to show before it gets requests, and whether what is known of it shows that. Pure.

Two things can be asked: gates that are measured on the serving runtime, and how far it disagrees with the revision that
serves. Both are judged anew in every round from the figures that the ModelRevision remembers, so a changed limit asks
nobody; another question (other test data or metrics, another revision that serves) does.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache

from modelpress.api import gates, intervals, keys
from modelpress.api.analysis import OnInconclusiveAnalysis
from modelpress.api.defaults import EffectiveDisagreement
from modelpress.api.evaluation import Evaluation, Gate, MeasuredOn
from modelpress.api.intervals import CONFIDENCE
from modelpress.api.reasons import Reason
from modelpress.api.resources import GateOutcome, ModelRevision
from modelpress.api.results import Failure
from modelpress.api.rollout import ActionKind
from modelpress.api.verification import DisagreementFigure, ServedFigures, VerificationRecord
from modelpress.control.draft import Draft
from modelpress.control.situations import is_asked

BEFORE = "Asked before it got any request"
"""How a judgement of this kind begins."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a revision.

    `gates`: those on the serving runtime. `disagreement`: its limit; None: it is not asked. `stable`: the other
    revision, that serves meanwhile, if one does. `measured_for`, `compared_for`: keys of both parts; the latter is
    empty if that is not asked.
    """

    gates: tuple[Gate, ...] = ()
    disagreement: EffectiveDisagreement | None = None
    stable: str | None = None
    on_inconclusive: OnInconclusiveAnalysis = OnInconclusiveAnalysis.PROMOTE
    measured_for: str = ""
    compared_for: str = ""

    @property
    def asks(self) -> bool:
        """Whether anything is asked at all."""
        return bool(self.gates) or self.disagreement is not None


@dataclass(frozen=True, slots=True)
class Proof:
    """What comes of it. `answered`: all that is asked is known. `failure`: why it does not suffice, if it does not.

    `awaits`: what a person has to decide. `message`: the figures in sentences. `outcomes`: of the question's gates.
    """

    answered: bool
    failure: Failure | None = None
    awaits: str = ""
    message: str = ""
    outcomes: tuple[GateOutcome, ...] = ()


def demanded(draft: Draft) -> Question:
    """Return what gates ask of every revision."""
    spec, source = draft.model.spec, draft.old.source
    return Question(
        gates=gates.measured_on(MeasuredOn.SERVING_RUNTIME, (spec.evaluation or Evaluation()).gates),
        measured_for=keys.evaluation_key(spec, source.datasets if source is not None else {}),
    )


def question(draft: Draft, revision: ModelRevision, stable: str | None) -> Question:
    """Return what is asked of `revision` while `stable` serves.

    A pinned revision is asked nothing: somebody waits for it. Nor is one that serves or is promoted compared.
    """
    if draft.rollout.pin_revision is not None:
        return Question()
    name, asked = revision.metadata.name, demanded(draft)
    disagreement = draft.rollout.analysis.disagreement
    stable = None if stable == name else stable
    if stable is None or is_asked(draft, ActionKind.PROMOTE, name):
        disagreement = None
    return replace(
        asked,
        disagreement=disagreement,
        stable=stable,
        on_inconclusive=draft.rollout.analysis.on_inconclusive,
        compared_for=_compared_for(asked.measured_for, stable, disagreement) if disagreement is not None else "",
    )


def prove(asked: Question, record: VerificationRecord) -> Proof:
    """Return what `record` says to the question."""
    figures, disagreement = record.figures, record.disagreement
    if asked.gates and (figures is None or record.measured_for != asked.measured_for):
        return Proof(answered=False)
    if asked.disagreement is not None and (disagreement is None or record.compared_for != asked.compared_for):
        return Proof(answered=False)
    by_gates = _by_gates(figures, asked) if figures is not None else Proof(answered=True)
    if asked.disagreement is None or disagreement is None:
        return by_gates
    compared = _by_disagreement(disagreement, asked.disagreement, asked.on_inconclusive)
    worse = by_gates if by_gates.failure is not None else compared
    message = f"{by_gates.message} {compared.message}".strip()
    return replace(by_gates, failure=worse.failure, awaits=worse.awaits, message=message)


def _by_gates(figures: ServedFigures, asked: Question) -> Proof:
    """Return what the gates say of `figures`."""
    if not asked.gates:
        return Proof(answered=True)
    outcomes, verdict = _judged(figures, asked.gates)
    failure = None if verdict.accepted else Failure(reason=verdict.reason, message=f"{BEFORE}: {verdict.message}")
    return Proof(answered=True, failure=failure, message=verdict.message, outcomes=outcomes)


def _by_disagreement(
    found: DisagreementFigure, asked: EffectiveDisagreement, on_inconclusive: OnInconclusiveAnalysis
) -> Proof:
    """Return what the limit says of `found`; where nothing could be compared, the analysis says what then."""
    told = disagreement_sentence(found, asked.max)
    unknown = not found.samples
    if found.share > asked.max or (unknown and on_inconclusive is OnInconclusiveAnalysis.ROLLBACK):
        return Proof(True, Failure(reason=Reason.DISAGREEMENT, message=f"{BEFORE}: {told}"), message=told)
    if unknown and on_inconclusive is OnInconclusiveAnalysis.PAUSE:
        return Proof(True, awaits=f"{told} It starts when rollout.action promotes it.", message=told)
    return Proof(True, message=told)


@lru_cache(maxsize=1024)
def _judged(figures: ServedFigures, asked: tuple[Gate, ...]) -> tuple[tuple[GateOutcome, ...], gates.Verdict]:
    """The same figures are judged by the same gates in each round; the intervals take a while."""
    outcomes = tuple(gates.judge_served(figures, asked))
    return outcomes, gates.overall(outcomes, asked)


def disagreement_sentence(found: DisagreementFigure, most: float) -> str:
    """Return how far two revisions disagree, in a sentence."""
    left_out = f" {found.unanswered:,} samples that {found.stable} fails on are left out." if found.unanswered else ""
    if not found.samples:
        return f"{found.stable} answers no sample that it could be compared on.{left_out}"
    bounds = intervals.proportion(found.different, found.samples, CONFIDENCE)
    share = f"{_percent(found.share)}, {CONFIDENCE:.0%} bounds {_percent(bounds.low)}…{_percent(bounds.high)}"
    count = f"on {found.different:,} of {found.samples:,} samples ({share}, by {found.compare.value})"
    told = f"It answers otherwise than {found.stable} {count}; at most {_percent(most)} is allowed.{left_out}"
    return told.replace("%", " %")


def _percent(share: float) -> str:
    return f"{share:.2%}" if 0 < share < 0.1 else f"{share:.0%}"


def _compared_for(evaluation: str, stable: str | None, asked: EffectiveDisagreement) -> str:
    how = asked.model_dump(mode="json", exclude={"max"}, exclude_none=True)
    return hashlib.sha256(keys.canonical_json([evaluation, stable, how])).hexdigest()
