"""What serves before a case begins, whatever the case before it left; and what pods tell of what they hold."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from typing import Any

import kubectl
from tests.e2e.rollouts import FIRST, NAME, SECOND, THIRD, current, wanted
from tests.support import reading
from tests.support.workplace import Workplace, wait_for

from modelpress.api.names import MODEL_LABEL, REVISION_LABEL, ROLE_LABEL, ROLE_SERVE
from modelpress.api.servingpod import AGENT_PORT, PodAnswer
from modelpress.control import pods

VERSIONS = (FIRST, SECOND, THIRD)
"""Those that serve, one after the other: each case goes on from the version that the case before it ended at."""


@dataclass(frozen=True)
class Standing:
    """What serves: `version` of the source, as `revision`, from the pods of the set `own`.

    `others`: the versions that may come next.
    """

    version: str
    revision: str
    own: str
    others: tuple[str, str]


def begin(workplace: Workplace, rollout: dict[str, Any], replicas: int, *, own_pods: bool) -> Standing:
    """Have what serves go on serving, alone and as usual; or, if its pods were made for another revision and it is to
    have `own_pods`, another version from pods of its own."""
    version = version_of(workplace, current(workplace))
    version = version if version in VERSIONS else FIRST
    _apply(workplace, version, rollout, replicas)
    while own_pods and set_behind(workplace) != current(workplace):
        made_for = version_of(workplace, set_behind(workplace))
        version = next(name for name in VERSIONS if name not in (version, made_for))
        _apply(workplace, version, rollout, replicas)
    first, second = (VERSIONS[(VERSIONS.index(version) + more) % len(VERSIONS)] for more in (1, 2))
    return Standing(version, current(workplace), set_behind(workplace), (first, second))


def _apply(workplace: Workplace, version: str, rollout: dict[str, Any], replicas: int) -> None:
    """Have `version` serve alone, without the word of an earlier case to promote a revision."""
    workplace.apply(wanted(workplace, version, rollout, replicas=replicas))
    patch = json.dumps({"spec": {"rollout": {"action": None}}})
    where = f"--namespace={workplace.namespace}"
    kubectl.run("kubectl", "patch", "compressedmodel", NAME, where, "--type=merge", f"--patch={patch}")
    workplace.await_ready(NAME)
    await_alone(workplace)


def version_of(workplace: Workplace, revision: str) -> str:
    """Return the version of the source that a revision is of."""
    artifact = kubectl.get(workplace.namespace, "modelrevision", revision)["spec"]["artifact"]
    uri = kubectl.get(workplace.namespace, "modelartifact", artifact)["spec"]["source"]["uri"]
    return str(uri).rstrip("/").rsplit("/", 1)[-1]


def set_behind(workplace: Workplace) -> str:
    """Return the set of pods that the main Service leads to, by the revision it was made for; empty if to two sets."""
    selector = kubectl.get(workplace.namespace, "service", NAME)["spec"]["selector"]
    return str(selector.get(REVISION_LABEL, ""))


def await_alone(workplace: Workplace) -> None:
    """Return when there are pods of the set that the main Service leads to, all ready, and no others."""

    def alone() -> bool:
        found = reading.pods(workplace.namespace, f"{MODEL_LABEL}={NAME},{ROLE_LABEL}={ROLE_SERVE}")
        own = {pod["metadata"]["labels"][REVISION_LABEL] for pod in found}
        return own == {set_behind(workplace)} and all(map(pods.is_ready, found))

    wait_for(alone, "what serves to be alone", explain=lambda: workplace.explain(NAME))


def held(workplace: Workplace) -> dict[str, PodAnswer]:
    """Return what each pod that tells says of the versions that it holds, by name."""
    found = {}
    for pod in reading.pods(workplace.namespace, f"{MODEL_LABEL}={NAME},{ROLE_LABEL}={ROLE_SERVE}"):
        address = pod["status"].get("podIP")
        if address and "deletionTimestamp" not in pod["metadata"]:
            try:
                with urllib.request.urlopen(f"http://{address}:{AGENT_PORT}/status", timeout=2) as answer:
                    found[pod["metadata"]["name"]] = PodAnswer.model_validate_json(answer.read())
            except OSError:
                continue  # it is starting, or ending
    return found


def await_proof(workplace: Workplace, revision: str) -> str:
    """Return the name of a pod that has proved `revision` beside what it serves, once there is one."""

    def look() -> str | None:
        answers = held(workplace)
        return next((name for name, answer in answers.items() if _proved(answer, revision)), None)

    return wait_for(look, f"a pod to prove {revision} beside", explain=lambda: workplace.explain(NAME))


def _proved(answer: PodAnswer, revision: str) -> bool:
    return any(model.revision == revision and model.verified for model in (*answer.candidates, *answer.models))
