"""Which pods serve which revision. Pure.

The Deployment, ConfigMap and Service of a set of pods are named as the revision that the set was made for. Where a
later one was loaded in place, into these very pods, their ConfigMap says so: `models.json` names it. What is said
there is what pods hold, those that start anew too. Should the ConfigMap be lost, the main Service's annotation tells.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError

from modelpress.api import names
from modelpress.api.resources import ModelRevision
from modelpress.api.servingpod import HIGHEST_VERSION, MODELS_KEY, ServedModel, ServingPod
from modelpress.control import marks
from modelpress.control.plan import Manifest, Observed
from modelpress.render.serving import holding
from modelpress.rollout.situation import Decision, Situation


def main_set(service: Manifest | None) -> str | None:
    """Return the set that the main Service leads to; of two, the stable one's."""
    if service is None:
        return None
    selector = (service.get("spec") or {}).get("selector") or {}
    return selector.get(names.REVISION_LABEL) or marks.mark(service, marks.STABLE) or None


def revision_in(observed: Observed, name: str) -> str:
    """Return the revision that the pods of the set `name` are to serve."""
    pod = _wanted_of(observed, name)
    if pod is not None and pod.models:
        return pod.models[0].revision or name
    service = observed.find("Service", observed.model["metadata"]["name"])
    told = marks.mark(service, marks.SERVES) if service is not None and main_set(service) == name else ""
    return told if told and observed.find("ModelRevision", told) is not None else name


def set_of(observed: Observed, revision: str) -> str:
    """Return the set whose pods are to serve `revision`; the one of its own name if there is none yet.

    Empty if there is none, and that name belongs to a set which serves another one.
    """
    service = observed.find("Service", observed.model["metadata"]["name"])
    serving = [name for name in _sets(observed) if revision_in(observed, name) == revision]
    preferred = [name for name in (main_set(service), revision) if name in serving]
    if found := next(iter(preferred or serving), None):
        return found
    return revision if revision_in(observed, revision) == revision else ""


def set_names(observed: Observed, seen: Situation, decision: Decision) -> Callable[[str], str]:
    """Return the function that names the set whose pods serve a revision once `decision` is carried out.

    What was loaded in place and takes over does so in the pods of what was stable until now.
    """

    def name(revision: str) -> str:
        before = seen.traffic.stable
        takes_over = revision == decision.stable == decision.load
        return set_of(observed, before if takes_over and before is not None else revision)

    return name


def content(observed: Observed, name: str, serves: ModelRevision, beside: ModelRevision | None) -> str:
    """Return `models.json` for the set `name`, whose pods are to serve `serves` and to load `beside` beside it."""
    held = _numbers(observed, name).get(serves.metadata.name, 1)
    if serves.metadata.name == name and beside is None and held == 1:
        return serves.spec.models
    number = held if held > 1 or beside is None else HIGHEST_VERSION
    return holding((serves, number), (beside, number - 1) if beside is not None else None)


def loading(observed: Observed, revision: str) -> Manifest | None:
    """Return the ConfigMap of the pods that are to load `revision` beside what they serve, if there is one."""
    found = (item for item in observed.of_kind("ConfigMap") if marks.label(item, names.REVISION_LABEL))
    return next((item for item in found if _beside(wanted(item), revision) is not None), None)


def number_beside(observed: Observed, name: str, revision: str) -> int | None:
    """Return Triton's number of `revision` in pods of the set `name` that are to load it beside what they serve."""
    return _beside(_wanted_of(observed, name), revision)


def _beside(pod: ServingPod | None, revision: str) -> int | None:
    candidates = pod.candidates if pod is not None else ()
    return next((model.version for model in candidates if model.revision == revision), None)


def _numbers(observed: Observed, name: str) -> dict[str, int]:
    """Return Triton's numbers of what the pods of a set are to hold, by revision."""
    pod = _wanted_of(observed, name)
    held: tuple[ServedModel, ...] = (*pod.models, *pod.candidates) if pod is not None else ()
    return {model.revision or name: model.version for model in held}


def _wanted_of(observed: Observed, name: str) -> ServingPod | None:
    """Return what the pods of a set are to hold, if that is said legibly."""
    return wanted(found) if (found := observed.find("ConfigMap", name)) is not None else None


def wanted(config_map: Manifest) -> ServingPod | None:
    """Return what `config_map` says that pods are to hold, if it does so legibly."""
    try:
        return ServingPod.model_validate_json((config_map.get("data") or {}).get(MODELS_KEY, ""))
    except ValidationError:
        return None


def _sets(observed: Observed) -> list[str]:
    kinds = ("Deployment", "ConfigMap")
    found = {str(item["metadata"]["name"]) for kind in kinds for item in observed.of_kind(kind)}
    return sorted(name for name in found if _is_set(observed, name, kinds))


def _is_set(observed: Observed, name: str, kinds: tuple[str, ...]) -> bool:
    items = [item for kind in kinds if (item := observed.find(kind, name)) is not None]
    return any(marks.label(item, names.REVISION_LABEL) == name for item in items)
