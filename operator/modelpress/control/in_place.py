"""A revision that is loaded into the pods of another one: may it be, how far is it, what do the pods say? Pure.

Pods tell it themselves, over HTTP (`control/holdings.py`). One that was not asked yet, or does not answer, counts as
one that has not got there.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kubernetes.utils.quantity import parse_quantity
from pydantic import ValidationError

from modelpress.api.reasons import ENVIRONMENT, Reason
from modelpress.api.resources import ModelRevision
from modelpress.api.results import ExitCode, Failure
from modelpress.api.servingpod import HeldModel
from modelpress.control import clock, pods
from modelpress.control.draft import Draft
from modelpress.control.plan import Manifest, Observed
from modelpress.control.revisions import served_alike
from modelpress.control.sets import set_of, wanted
from modelpress.render.serving import can_load_beside
from modelpress.rollout.situation import InPlace


def progress(observed: Observed, candidate: str, own_pods: list[Manifest]) -> InPlace:
    """Return how many of `own_pods`, the stable revision's, hold `candidate` proved."""
    alive = _alive(own_pods)
    told = [_of(observed.holdings[name].candidates, candidate) for name in alive if name in observed.holdings]
    return InPlace(len(alive), sum(held is not None and held.verified for held in told))


def arrived(observed: Observed, revision: str, own_pods: list[Manifest]) -> tuple[int, int] | None:
    """Return how many of `own_pods` answer with `revision`, and how many there are.

    None: nothing was ever loaded in place, so that a pod which answers does so with it.
    """
    config_map = observed.find("ConfigMap", set_of(observed, revision))
    pod = wanted(config_map) if config_map is not None else None
    if pod is None or not any(model.revision for model in pod.models):
        return None
    alive = _alive(own_pods)
    told = [_of(observed.holdings[name].models, revision) for name in alive if name in observed.holdings]
    return sum(held is not None and held.serves for held in told), len(alive)


def failure(observed: Observed, candidate: str, own_pods: list[Manifest], since: datetime | None) -> Failure | None:
    """Return what `own_pods` say against `candidate` for good: that they refuse it, or ended over it after `since`.

    A pod that is to end says nothing by that.
    """
    for pod in (pod for pod in own_pods if not pods.is_leaving(pod)):
        for ending in pods.last_endings(pod):
            recent = since is not None and ending.finished_at and clock.parse(ending.finished_at) > since
            if recent and ending.exit_code not in (ExitCode.DONE, ExitCode.ENVIRONMENT):
                told = f"Container {ending.container} of {pod['metadata']['name']} ended with exit code"
                why = f"{told} {ending.exit_code} ({ending.reason or 'no reason'}) while it held two versions"
                return Failure(reason=Reason.CANDIDATE_UNHEALTHY, message=why)
    found = _failures(observed, candidate, own_pods)
    return next((told for told in found if told.reason not in ENVIRONMENT), None)


def trouble(observed: Observed, candidate: str, own_pods: list[Manifest]) -> str:
    """Return what keeps `own_pods` from holding `candidate` for now, empty if they say nothing."""
    return next((told.message for told in _failures(observed, candidate, own_pods)), "")


def incompatible(draft: Draft, stable: str, candidate: ModelRevision) -> str | None:
    """Return why the pods that serve `stable` cannot load `candidate`, as far as that is known without asking them."""
    own = draft.revision(set_of(draft.observed, stable))
    if own is None:
        return f"the revision that the pods of {stable} were made for is not there any more"
    if not can_load_beside(own.spec.pod_template):
        return f"an earlier version of modelpress made the pods of {stable}, which hold one version only"
    different = served_alike(draft, own.metadata.name, candidate.metadata.name)
    if different is not None:
        return f"{different}, and pods that are there stay as they are"
    return _too_large(draft, own, stable, candidate)


def _too_large(draft: Draft, own: ModelRevision, stable: str, candidate: ModelRevision) -> str | None:
    """Return that both do not fit, if the files of both alone are larger than what Triton's container may use."""
    limit = _memory_limit(own.spec.pod_template)
    sizes = [_bytes(draft, artifact) for artifact in (_artifact(draft, stable), candidate.spec.artifact)]
    if limit is None or sum(sizes) <= limit:
        return None
    told = " and ".join(f"{size / 2**20:,.0f} MiB" for size in sizes)
    return f"the two versions have {told}, and the limit of Triton's container is {limit / 2**20:,.0f} MiB"


def _artifact(draft: Draft, revision: str) -> str:
    found = draft.revision(revision)
    return found.spec.artifact if found is not None else ""


def _bytes(draft: Draft, artifact: str) -> int:
    found = draft.artifact(artifact)
    figures = found.status.figures if found is not None and found.status is not None else None
    return figures.compressed_bytes if figures is not None else 0


def _memory_limit(template: dict[str, Any]) -> int | None:
    containers = (template.get("spec") or {}).get("containers") or ()
    limits = ((container.get("resources") or {}).get("limits") or {} for container in containers)
    amount = next((limit["memory"] for limit in limits if "memory" in limit), None)
    try:
        return int(parse_quantity(amount)) if amount is not None else None  # type: ignore[no-untyped-call]
    except (ValueError, ValidationError):
        return None


def _failures(observed: Observed, candidate: str, own_pods: list[Manifest]) -> list[Failure]:
    answers = [observed.holdings[name] for name in _alive(own_pods) if name in observed.holdings]
    held = [_of((*answer.candidates, *answer.models), candidate) for answer in answers]
    return [found.failure for found in held if found is not None and found.failure is not None]


def _alive(own_pods: list[Manifest]) -> list[str]:
    return [pod["metadata"]["name"] for pod in own_pods if not pods.is_leaving(pod)]


def _of(held: tuple[HeldModel, ...], revision: str) -> HeldModel | None:
    return next((model for model in held if model.revision == revision), None)
