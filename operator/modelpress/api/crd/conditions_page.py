"""docs/conditions.md: what conditions say in which state, and what each reason means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..reason_texts import COURSE, JUDGEMENTS, OPERATOR, SURROUNDINGS, ReasonText
from ..reasons import Reason

_HEAD = """<!-- Generated from operator/modelpress/api by `make generate`. Changes belong there. -->

# Conditions

`kubectl describe cmodel digits` shows them with a sentence each; `kubectl get cmodel -o wide` shows reason and message
of Ready. An Event says the same when something changes that a person wants to hear of.

| condition | says |
| --- | --- |
| Ready | What the spec says is what answers. `Unknown` until the operator has looked. |
| Available | Something answers, be it an older version. |
| Reconciling | It goes on by itself (kstatus: InProgress). |
| Stalled | A person must change something (kstatus: Failed). |
| Accepted | The gates let the result pass. |
| Verified | Serving pods gave the answers that were judged, and keep the gates on the serving runtime. |
| Progressing | The version that the spec asks for is on its way, or has arrived. |

## States

T true, F false, ? unknown, – not there yet, = as it was: what stops something new takes nothing down that serves.
The reason is that of Ready; conditions that say the same carry the same one.

| state | reason | Ready | Available | Reconciling | Stalled | Accepted | Verified | Progressing |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |"""

STATES: tuple[tuple[str, str, str], ...] = (
    ("new, not looked at", "New", "?––––––"),
    ("resolving", "Resolving", "FFTF??T"),
    ("source not found", "SourceNotFound", "FFFTF?F"),
    ("compressing", "Compressing", "FFTF??T"),
    ("compression failed", "a judgement, below", "FFFTF?F"),
    ("gate failed", "GateFailed", "FFFTF?F"),
    ("cannot tell", "GateInconclusive", "FFFTF?F"),
    ("starting", "Starting", "FFTFT?T"),
    ("no node takes the pods", "PodUnschedulable", "FFTFT?F"),
    ("answers differ", "AnswersDiffer", "FFFTTFF"),
    ("serving", "Serving", "TTFFTTT"),
    ("serving with a pod too few", "ReplicasNotReady", "FTTFTTF"),
    ("new version on its way", "Compressing … RollingOut", "FTTF=?T"),
    ("new version rejected while the old serves", "a judgement, below", "FTFTF?F"),
    ("new version's answers differ while the old serves", "AnswersDiffer", "FTFTTFF"),
    ("new version is asked before it gets requests", "Verifying", "FTTFT?T"),
    ("new version does not keep a gate on the serving runtime", "GateFailed", "FTFTTFF"),
    ("new version disagrees with the old one", "Disagreement", "FTFTTFF"),
    ("test data gone while a new version is asked", "DatasetNotFound", "FTTFT?F"),
    ("canary answers beside the old version", "RollingOut", "FTTFTTT"),
    ("canary waits for a person", "AwaitingPromotion", "FTFFTTF"),
    ("canary fails its requests", "AnalysisFailed", "FTFTTTF"),
    ("new version aborted", "Aborted", "FTFTTTF"),
    ("no room for a new version in time", "InsufficientCapacity", "FTFTTFF"),
    ("pinned to an older version", "Serving", "TTFFTTT"),
    ("pinned to a version that is not there", "RevisionNotFound", "FTFTT?F"),
    ("measuring anew while serving", "Evaluating", "FTTF??T"),
    ("source gone while serving", "SourceNotFound", "FTFTTTF"),
    ("suspended before anything served", "Suspended", "FFFF==F"),
    ("suspended while the spec's version serves", "Serving", "TTFFTTF"),
    ("suspended while an older version serves", "Suspended", "FTFF??F"),
    ("paused before a new version", "Paused", "FTFFT?F"),
    ("scaled to zero", "ScaledToZero", "TFFFT=T"),
    ("store away", "StoreUnavailable", "F=TF??F"),
    ("spec not valid", "InvalidSpec", "F=FTF?F"),
    ("name taken by somebody else's Service", "NameConflict", "F=FTT?F"),
    ("operator's own error", "OperatorError", "F=TF??F"),
    ("deleting", "Deleting", "F=TF??T"),
)
"""State, reason of Ready, and Ready, Available, Reconciling, Stalled, Accepted, Verified, Progressing."""

_SECTIONS: tuple[tuple[str, str, Mapping[Reason, ReasonText]], ...] = (
    ("The course of things", "", COURSE),
    (
        "Judgements about input",
        "Final: it is not tried again until the spec, the data, the gates or `rollout.retryToken` change. What served"
        " before serves on.",
        JUDGEMENTS,
    ),
    ("Surroundings", "Backed off from and tried again, as often as it takes.", SURROUNDINGS),
    ("The operator's own", "", OPERATOR),
)


def page() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *_states(), "\n## Reasons", *_reasons()]) + "\n"


def _states() -> Iterator[str]:
    for state, reason, cells in STATES:
        yield f"| {state} | {reason} | {' | '.join(cells)} |"


def _reasons() -> Iterator[str]:
    for title, note, texts in _SECTIONS:
        yield f"\n### {title}\n"
        if note:
            yield f"{note}\n"
        yield "| reason | means | what to do |"
        yield "| --- | --- | --- |"
        for reason, text in texts.items():
            yield f"| {reason.value} | {text.meaning} | {text.remedy} |"
