"""What is seen of a change of revision, in the terms that rollout/ decides in. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from modelpress.api import names
from modelpress.api.durations import seconds
from modelpress.api.resources import ModelRevision
from modelpress.api.rollout import ActionKind, RolloutStatus
from modelpress.control import clock, in_place, marks, pods, strategies
from modelpress.control.draft import Draft
from modelpress.control.plan import Manifest, Observed
from modelpress.control.readiness import health
from modelpress.control.replicas import full_set
from modelpress.control.routing import doubt, lacking, routing
from modelpress.control.sets import revision_in, set_of
from modelpress.control.traffic import traffic
from modelpress.control.upkeep import revisions_with_objects
from modelpress.rollout import queries
from modelpress.rollout.analysis import Verdict, Version, version
from modelpress.rollout.counting import window_of
from modelpress.rollout.situation import CanaryStep, InPlace, Memory, Outcome, Side, Situation, Stage

OVER = ("Failed", "Succeeded")
"""Phases of pods that hold nothing any more."""


def situation(draft: Draft, wanted: ModelRevision | None, abandoned: Iterable[str]) -> Situation:
    """Return the situation in which `wanted` is to take over, before anything is judged by requests."""
    rollout, candidate = draft.rollout, wanted.metadata.name if wanted is not None else None
    leads = traffic(draft.observed)
    stable_pods = pods_of(draft.observed, leads.stable) if leads.stable is not None else []
    waiting = pods_of(draft.observed, candidate) if candidate is not None else []
    strategy, why = strategies.chosen(draft, wanted, waiting)
    return Situation(
        sides=sides(draft),
        traffic=leads,
        candidate=candidate,
        now=draft.now,
        full=full_set(draft),
        abandoned=tuple(sorted(abandoned)),
        held=draft.suspended or rollout.paused or (leads.stable is not None and lacking(draft) is not None),
        promoted=candidate is not None and is_asked(draft, ActionKind.PROMOTE, candidate),
        strategy=strategy,
        why=why,
        in_place=in_place.progress(draft.observed, candidate, stable_pods) if candidate is not None else InPlace(),
        routing=routing(draft),
        routed=doubt(draft) is None,
        steps=tuple(
            CanaryStep(step.weight, timedelta(seconds=seconds(step.pause)) if step.pause is not None else None)
            for step in rollout.steps
        ),
        delay=timedelta(seconds=seconds(rollout.scale_down_delay)),
        memory=memory(draft.old.rollout),
        on_inconclusive=rollout.analysis.on_inconclusive,
    )


def is_asked(draft: Draft, kind: ActionKind, revision: str) -> bool:
    """Say whether `rollout.action` asks for this, of this very revision."""
    action = draft.rollout.action
    return action is not None and (action.revision, action.do) == (revision, kind)


def memory(status: RolloutStatus | None) -> Memory | None:
    """Return what the last round left to remember; None if that cannot be read."""
    if status is None or not status.candidate:
        return None
    try:
        since = clock.parse(status.since)
        reached = clock.parse(status.reached_at) if status.reached_at else None
    except ValueError:
        return None
    return Memory(status.candidate, Stage(status.stage), since, max(0, status.step - 1), reached)


def sides(draft: Draft) -> dict[str, Side]:
    """Return what is seen of the pods of every revision that has objects or pods."""
    with_objects = revisions_with_objects(draft)
    sets = {marks.label(pod, names.REVISION_LABEL) for pod in _serving_pods(draft.observed)} - {""}
    with_pods = {revision_in(draft.observed, name) for name in sets}
    return {name: _side(draft, name, exists=name in with_objects) for name in sorted({*with_objects, *with_pods})}


def _side(draft: Draft, name: str, *, exists: bool) -> Side:
    found = health(draft.observed, name)
    there = found.deployment is not None and not draft.is_going(found.deployment)
    own = pods_of(draft.observed, name)
    leaving = sum(map(pods.is_leaving, own))
    return Side(
        exists=exists,
        asked=found.wanted if there else 0,
        answering=found.ready if there else 0,
        settled=there and found.settled,
        alive=len(own) - leaving,
        leaving=leaving,
    )


def pods_of(observed: Observed, revision: str) -> list[Manifest]:
    """Return the serving pods of a revision that are not over, whichever Deployment made them."""
    name = set_of(observed, revision)
    return [pod for pod in _serving_pods(observed) if marks.label(pod, names.REVISION_LABEL) == name]


def _serving_pods(observed: Observed) -> list[Manifest]:
    return [
        pod
        for pod in observed.of_kind("Pod")
        if marks.label(pod, names.ROLE_LABEL) == names.ROLE_SERVE and (pod.get("status") or {}).get("phase") not in OVER
    ]


NOT_ALLOWED = (
    "spec.rollout.analysis.queries cannot be asked: this installation lets models ask no Prometheus, by the chart's "
    "values prometheus.address and prometheus.analysisQueries."
)


def figures(draft: Draft) -> Verdict:
    """Return what the queries of the spec come to in the present step."""
    asked, prometheus = draft.rollout.analysis.queries, draft.installation.prometheus
    if asked and (prometheus is None or not prometheus.analysis_queries):
        return Verdict(Outcome.INCONCLUSIVE, NOT_ALLOWED)
    status = draft.old.rollout
    return queries.judge(asked, draft.observed.answers, window_of(status) if status is not None else "")


def requests_of(draft: Draft, revision: str | None) -> Version:
    """Return what the answering pods of a revision did in the present step, as far as they were asked."""
    status = draft.old.rollout
    if revision is None or status is None:
        return Version()
    window = window_of(status)
    answering = [pod["metadata"]["name"] for pod in pods_of(draft.observed, revision) if pods.is_ready(pod)]
    counts = ((name, draft.observed.counts.get(name)) for name in answering)
    return version((name, pod if pod is not None and pod.window == window else None) for name, pod in counts)
