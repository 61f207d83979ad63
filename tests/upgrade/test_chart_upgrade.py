"""The chart upgraded to a build with other defaults and renderers, and back: no pod restarts, nothing is made again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import installation
import kubectl
import numpy as np
import pytest
from tests.e2e.bad_inputs import BadInput, manifest, write_good
from tests.support.workplace import Workplace, wait_for
from tests.upgrade import variant

from modelpress.render.serving.deployment import MIN_READY_SECONDS

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

NAME = "upgraded"
ROW = {"row": np.zeros((1, 4), dtype=np.float32)}


@dataclass(frozen=True)
class Belongings:
    """What a model has in the cluster, as far as an upgrade must leave it alone."""

    revision: str
    """The one that serves."""
    artifacts: dict[str, str]
    """UIDs of the ModelArtifacts, by name."""
    revisions: dict[str, str]
    """UIDs of the ModelRevisions, by name."""
    jobs_ever: frozenset[str]
    """Names of Jobs that are there, or that Events tell of."""
    pods: dict[str, dict[str, int]]
    """Restarts of the serving pods' containers, by the pod's UID."""
    template: dict[str, Any]
    """The Deployment's pod template."""
    replica_set: str
    """UID of the only ReplicaSet."""
    models: str
    """models.json, which running pods follow."""


def belongings(workplace: Workplace) -> Belongings:
    """Look at what the model has."""
    space, revision = workplace.namespace, workplace.model(NAME)["status"]["currentRevision"]
    serving = f"--selector=modelpress.io/model={NAME},modelpress.io/role=serve"
    (replica_set,) = kubectl.get(space, "replicasets", serving)["items"]
    pods = kubectl.get(space, "pods", serving)["items"]
    events = kubectl.get(space, "events", "--field-selector=involvedObject.kind=Job")["items"]
    return Belongings(
        revision=revision,
        artifacts=uids(space, "modelartifacts"),
        revisions=uids(space, "modelrevisions"),
        jobs_ever=frozenset({event["involvedObject"]["name"] for event in events} | set(uids(space, "jobs"))),
        pods={pod["metadata"]["uid"]: restarts(pod) for pod in pods},
        template=kubectl.get(space, "deployment", revision)["spec"]["template"],
        replica_set=replica_set["metadata"]["uid"],
        models=kubectl.get(space, "configmap", revision)["data"]["models.json"],
    )


def uids(namespace: str, kind: str) -> dict[str, str]:
    """UIDs of a namespace's objects of one kind, by name."""
    return {item["metadata"]["name"]: item["metadata"]["uid"] for item in kubectl.get(namespace, kind)["items"]}


def restarts(pod: dict[str, Any]) -> dict[str, int]:
    """How often each container of a pod was restarted."""
    status = pod["status"]
    every = [*status.get("initContainerStatuses", []), *status["containerStatuses"]]
    return {container["name"]: container["restartCount"] for container in every}


def wanted(workplace: Workplace, **spec: Any) -> dict[str, Any]:
    """A small model that writes down one of the defaults that change, and leaves the other unset."""
    found = manifest(BadInput(NAME, "", ""), workplace.namespace)
    quantize = {"preset": "INT8_DYNAMIC", "granularity": "Channel"}
    found["spec"] |= {"compression": {"stages": [{"quantize": quantize}]}} | spec
    return found


def install(kubeconfig: Path, *arguments: str) -> None:
    """Install the chart, and wait until the only operator is a new one and leads."""
    installation.install(kubeconfig, *arguments)
    operator = kubectl.get(installation.NAMESPACE, "deployment", "modelpress")["spec"]["template"]["spec"]
    image = operator["containers"][0]["image"]

    def leads() -> bool:
        holder = kubectl.get(installation.NAMESPACE, "lease", "modelpress")["spec"].get("holderIdentity")
        label = "--selector=app.kubernetes.io/component=operator"
        pods = kubectl.get(installation.NAMESPACE, "pods", label)["items"]
        return [(pod["metadata"]["name"], pod["spec"]["containers"][0]["image"]) for pod in pods] == [(holder, image)]

    wait_for(leads, f"the operator of {image} to lead alone")


def await_its_hand(workplace: Workplace, seconds: int) -> None:
    """Wait until the operator has rendered the model's Deployment anew, and its status is of that."""
    name = workplace.model(NAME)["status"]["currentRevision"]
    wait_for(
        lambda: kubectl.get(workplace.namespace, "deployment", name)["spec"]["minReadySeconds"] == seconds,
        f"the Deployment as the new operator renders it, minReadySeconds {seconds}",
        explain=lambda: workplace.explain(NAME),
    )
    workplace.await_ready(NAME)


def scale(workplace: Workplace, replicas: int) -> None:
    """Have the model answered by so many pods, and wait until no other is left."""
    workplace.apply(wanted(workplace, serving={"replicas": replicas}))
    wait_for(
        lambda: (
            workplace.model(NAME)["status"].get("readyReplicas") == replicas
            and len(belongings(workplace).pods) == replicas
        ),
        f"{replicas} pods",
        explain=lambda: workplace.explain(NAME),
    )
    workplace.await_ready(NAME)


@pytest.fixture(scope="module")
def before(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Belongings:
    """What the model has, made Ready by the operator of this clone."""
    folder = tmp_path_factory.mktemp(NAME)
    write_good(folder)
    workplace.put(folder, NAME)
    workplace.apply(wanted(workplace))
    workplace.await_ready(NAME, seconds=900)
    await_its_hand(workplace, MIN_READY_SECONDS)
    return belongings(workplace)


@pytest.fixture(scope="module")
def upgraded(installed: Path, workplace: Workplace, before: Belongings) -> Iterator[Workplace]:
    """The chart upgraded to the later version, with the model at work; this clone's version again afterwards."""
    image = variant.ensure()
    try:
        install(installed, f"--set=images.operator={image}")
        await_its_hand(workplace, variant.MIN_READY_SECONDS)
        yield workplace
    finally:
        install(installed)


def test_an_upgrade_restarts_no_pod_and_recompresses_nothing(upgraded: Workplace, before: Belongings) -> None:
    assert belongings(upgraded) == before
    upgraded.ask(NAME, ROW, ["scores"])


def test_what_the_upgraded_operator_makes_anew_has_the_new_defaults_and_the_new_rendering(
    upgraded: Workplace, before: Belongings
) -> None:
    changed = {"serving": {"batching": {"maxBatchSize": 4}}, "rollout": {"paused": True}}
    upgraded.apply(wanted(upgraded, **changed))
    upgraded.await_condition(NAME, "Ready", "False", "Paused")
    names = set(uids(upgraded.namespace, "modelrevisions")) - set(before.revisions)
    (made,) = (kubectl.get(upgraded.namespace, "modelrevision", name)["spec"] for name in names)
    (model,) = json.loads(made["models"])["models"]
    assert model["maxQueueDelayMicroseconds"] == variant.QUEUE_DELAY_MICROSECONDS
    for container in (*made["podTemplate"]["spec"]["initContainers"], *made["podTemplate"]["spec"]["containers"]):
        assert variant.VARIABLE in {variable["name"] for variable in container["env"]}
    upgraded.apply(wanted(upgraded))
    upgraded.await_ready(NAME)
    after = belongings(upgraded)
    assert (after.revision, after.pods, after.artifacts) == (before.revision, before.pods, before.artifacts)
    assert after.jobs_ever == before.jobs_ever


def test_pods_that_the_upgraded_operator_adds_are_those_of_the_old_rendering(
    upgraded: Workplace, before: Belongings
) -> None:
    scale(upgraded, 2)
    after = belongings(upgraded)
    assert (after.template, after.replica_set, after.models) == (before.template, before.replica_set, before.models)
    assert before.pods.items() <= after.pods.items()
    assert after.jobs_ever == before.jobs_ever


def test_the_way_back_restarts_no_pod_and_recompresses_nothing(
    installed: Path, upgraded: Workplace, before: Belongings
) -> None:
    at_work = belongings(upgraded)
    install(installed)
    await_its_hand(upgraded, MIN_READY_SECONDS)
    assert belongings(upgraded) == at_work
    scale(upgraded, 1)
    after = belongings(upgraded)
    assert after.pods.items() <= at_work.pods.items()
    assert (after.template, after.artifacts) == (before.template, before.artifacts)
    assert after.jobs_ever == before.jobs_ever
    upgraded.ask(NAME, ROW, ["scores"])
