"""Who counts the pods, and what is left for the operator to do about their number.

While an autoscaler is on a Deployment, nobody else sets its replicas. A Deployment without one, be it that of a new
version on its way or one whose autoscaler cannot be had, is brought up to the size of what serves and never down: it
shrinks by its own autoscaler, once it has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modelpress.api.autoscaling import AutoscalingEngine, AutoscalingTarget
from modelpress.api.defaults import EffectiveAutoscaling, with_defaults
from modelpress.api.durations import duration, seconds
from modelpress.api.reasons import Reason
from modelpress.api.resources import AutoscalingStatus
from modelpress.control.draft import Draft
from modelpress.control.kinds import SCALED_OBJECT
from modelpress.control.ownership import owner_uids
from modelpress.control.plan import Manifest, Observed
from modelpress.control.standing import Course, Standing
from modelpress.render.installation import serving_settings
from modelpress.render.serving import horizontal_pod_autoscaler, scaled_object

HPA = "HorizontalPodAutoscaler"
KINDS: dict[str, Literal["HPA", "KEDA"]] = {HPA: "HPA", SCALED_OBJECT.kind: "KEDA"}
"""Engines by the kind of their object."""
DEFAULT_CPU = 70
"""Percent of requested CPU, where nothing is asked for."""
DEFAULT_QUEUE_SECONDS = 0.02
BATCHING_DELAYS = 10
"""So many times the delay of batching is the default target, if that is more."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What this cluster can do for a model: `engine`, and the `target` that it is given."""

    engine: Literal["HPA", "KEDA"]
    target: AutoscalingTarget


class UnavailableAutoscalerError(Exception):
    """This cluster cannot scale as asked. The message says why, and what to do."""


def wished(draft: Draft) -> EffectiveAutoscaling | None:
    """Return `spec.serving.autoscaling` without gaps, if there is one."""
    asked = draft.model.spec.serving.autoscaling if draft.model.spec.serving else None
    return with_defaults(asked) if asked is not None else None


def choose(draft: Draft, autoscaling: EffectiveAutoscaling) -> Choice:
    """Return who is to count the pods, and by what.

    Raises UnavailableAutoscalerError.
    """
    target, lacking = autoscaling.target, _lacking_for_keda(draft)
    cpu_alone = target is not None and target.cpu is not None and autoscaling.activation is None
    if autoscaling.engine is AutoscalingEngine.HPA or (autoscaling.engine is AutoscalingEngine.AUTO and cpu_alone):
        return _hpa(draft, target)
    if lacking is None:
        found = target or AutoscalingTarget(queue_time=_default_queue_time(draft))
        return Choice("KEDA", found if found.cpu is None else _with_cpu_request(draft, found))
    if autoscaling.engine is AutoscalingEngine.AUTO and target is None and autoscaling.activation is None:
        return _hpa(draft, None)
    asking, instead = _asking_for_keda(autoscaling)
    raise UnavailableAutoscalerError(f"spec.serving.autoscaling.{asking} needs KEDA, and {lacking}, or {instead}.")


def keep_up_autoscaler(draft: Draft, main: str | None) -> None:
    """Have the autoscaler that the spec asks for on the Deployment of `main`, the revision that serves, and no other.

    One of the other engine goes first: KEDA refuses a Deployment that something else scales.
    """
    try:
        manifest = _wanted(draft, main)
    except UnavailableAutoscalerError as error:
        draft.complain(Standing(Course.STUCK, Reason.AUTOSCALER_UNAVAILABLE, str(error)))
        manifest = None
    unwanted = [item for item in _existing(draft.observed) if manifest is None or item["kind"] != manifest["kind"]]
    if main is not None or wished(draft) is None:
        draft.delete(*unwanted)
    if manifest is not None and not unwanted:
        draft.apply(manifest)


def replicas_to_set(draft: Draft, live: Manifest, pods: int | None) -> int | None:
    """Return how many pods the Deployment `live` is to have by the operator's hand; None: that is not its business.

    `pods`: as many as a change of revision gives it; None: it is the stable one.
    """
    if _is_scaled(draft.observed, live["metadata"]["name"]):
        # HPA takes no pods for the wish to have none and counts no further; KEDA too, while it cannot ask
        autoscaling = wished(draft)
        stopped = autoscaling is not None and autoscaling.min_replicas > 0 and _replicas(live) == 0
        return fewest(draft) if stopped else None
    if pods is not None:
        return pods
    asked = draft.model.spec.serving.replicas if draft.model.spec.serving else None
    if asked is not None or wished(draft) is None:
        return asked
    return None if _is_available(draft) else max(_replicas(live), fewest(draft))


def fewest(draft: Draft) -> int:
    """Return how many pods a Deployment has at least while no autoscaler is on it; 0: nothing is asked for."""
    autoscaling = wished(draft)
    return max(1, autoscaling.min_replicas) if autoscaling is not None else 0


def autoscaling_status(draft: Draft) -> AutoscalingStatus | None:
    """Return who counts the pods, and what it complains of."""
    for item in _existing(draft.observed):
        if not draft.is_going(item):
            return AutoscalingStatus(engine=KINDS[item["kind"]], message=complaint(item))
    return None


def _wanted(draft: Draft, main: str | None) -> Manifest | None:
    autoscaling = wished(draft)
    if autoscaling is None or main is None:
        return None
    choice = choose(draft, autoscaling)
    if choice.engine == "HPA":
        assert choice.target.cpu is not None, "an HPA is chosen for CPU alone"
        return horizontal_pod_autoscaler(draft.model, main, autoscaling, choice.target.cpu)
    assert draft.installation.prometheus is not None, "KEDA is chosen where there is a Prometheus"
    return scaled_object(draft.model, main, autoscaling, choice.target, draft.installation.prometheus)


def _is_available(draft: Draft) -> bool:
    autoscaling = wished(draft)
    try:
        return autoscaling is not None and choose(draft, autoscaling) is not None
    except UnavailableAutoscalerError:
        return False


def _lacking_for_keda(draft: Draft) -> str | None:
    if SCALED_OBJECT.kind not in draft.observed.extensions:
        return "this cluster has no scaledobjects.keda.sh: install KEDA"
    if draft.installation.prometheus is None:
        return "this installation names no Prometheus: set prometheus.address in the chart's values"
    return None


def _asking_for_keda(autoscaling: EffectiveAutoscaling) -> tuple[str, str]:
    """Return the field that only KEDA can follow, and what to do where there is none."""
    if autoscaling.activation is not None:
        return "activation", "set minReplicas to 1 and leave activation out"
    if autoscaling.target is not None and autoscaling.target.cpu is None:
        field = "queueTime" if autoscaling.target.queue_time is not None else "pendingRequests"
        return f"target.{field}", "scale by target.cpu"
    return "engine KEDA", "set engine to Auto"


def _hpa(draft: Draft, target: AutoscalingTarget | None) -> Choice:
    return Choice("HPA", _with_cpu_request(draft, target or AutoscalingTarget(cpu=DEFAULT_CPU)))


def _with_cpu_request(draft: Draft, target: AutoscalingTarget) -> AutoscalingTarget:
    resources = serving_settings(draft.model, draft.installation).resources
    if "cpu" not in {**(resources.requests or {}), **(resources.limits or {})}:
        raise UnavailableAutoscalerError(
            "Scaling by CPU is scaling by a share of what is requested, and Triton requests no CPU: set"
            " spec.serving.resources.requests.cpu."
        )
    return target


def _default_queue_time(draft: Draft) -> str:
    delay = seconds(serving_settings(draft.model, draft.installation).batching.max_queue_delay)
    return duration(max(DEFAULT_QUEUE_SECONDS, BATCHING_DELAYS * delay))


def _existing(observed: Observed) -> list[Manifest]:
    """Return the model's own autoscalers; the HPA that KEDA makes of a ScaledObject is KEDA's."""
    metadata = observed.model["metadata"]
    found = [observed.find(kind, metadata["name"]) for kind in KINDS]
    return [item for item in found if item is not None and metadata["uid"] in owner_uids(item)]


def _is_scaled(observed: Observed, deployment: str) -> bool:
    """Say whether an autoscaler of the model is on `deployment`, be it on its way out."""
    return any(item["spec"]["scaleTargetRef"]["name"] == deployment for item in _existing(observed))


def _replicas(deployment: Manifest) -> int:
    return int(deployment["spec"].get("replicas", 1))


def complaint(autoscaler: Manifest) -> str:
    """Return what the autoscaler says that keeps it from its work, empty if nothing does."""
    working = {HPA: ("AbleToScale", "ScalingActive"), SCALED_OBJECT.kind: ("Ready",)}
    for condition in (autoscaler.get("status") or {}).get("conditions") or ():
        if condition.get("type") in working[autoscaler["kind"]] and condition.get("status") == "False":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
    return ""
