"""The artifact store is full, goes away, or holds another file than was accepted: what serves goes on, all is said, and
all of it ends by itself once the cause is gone, but for a changed file, which a person must put right.

One small store of the module's own. The tests follow on each other: the model `kept` lives through a store that is
full, `returning` through one that goes away and then through changed files. In each of these states a model is deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kubectl
import numpy as np
import pytest
from tests.e2e.bad_inputs import BadInput, manifest, write_good
from tests.support import own_store
from tests.support.own_store import OwnStore
from tests.support.workplace import Workplace, sparing, wait_for

SIZE = "4Mi"
ROW = {"row": np.zeros((1, 4), dtype=np.float32)}
PATIENCE = 600.0
"""Seconds for what takes an attempt at compression or several; the pauses between them grow."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def small_store(workplace: Workplace) -> OwnStore:
    """A store of 4 MiB, in the module's namespace."""
    return own_store.start(workplace.namespace, SIZE)


@pytest.fixture(scope="module")
def place(workplace: Workplace, small_store: OwnStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """The workplace, with the files of every model uploaded and `kept` Ready."""
    folder = tmp_path_factory.mktemp("files")
    write_good(folder)
    for name in ("kept", "unwanted", "returning", "forsaken"):
        workplace.put(folder, name)
    workplace.apply(wanted(workplace, "kept"))
    workplace.await_ready("kept", seconds=PATIENCE)
    yield workplace


def wanted(place: Workplace, name: str, **spec: object) -> dict[str, Any]:
    """A small model whose result goes into the small store, with `spec` replacing parts of its spec."""
    found = manifest(BadInput(name, "", ""), place.namespace)
    access = {"secretName": own_store.NAME, "readSecretName": own_store.NAME}
    found["spec"] |= {"artifacts": {"uri": f"s3://{own_store.BUCKET}"} | access} | spec
    return sparing(found)


def model_file(place: Workplace, name: str) -> str:
    """URI of the ONNX file of the artifact that the model serves."""
    artifact = kubectl.get(place.namespace, "modelartifact", place.model(name)["status"]["artifact"])
    return str(artifact["spec"]["destination"]).rstrip("/") + "/onnx/model.onnx"


def with_another_byte(content: bytes) -> bytes:
    """Return `content`, of the same length, with one byte in the middle changed."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def delete_a_pod(place: Workplace, name: str) -> str:
    """Delete one of the pods that serve the model, without waiting until it has drained, and return its name."""
    selector = f"modelpress.io/model={name},modelpress.io/role=serve"
    pod = str(kubectl.get(place.namespace, "pods", "--selector", selector)["items"][0]["metadata"]["name"])
    kubectl.run("kubectl", "delete", "pod", "--namespace", place.namespace, pod, "--wait=false")
    return pod


def await_container(place: Workplace, name: str, container: str) -> None:
    """Wait until that init container of the model's compression runs."""

    def look() -> bool:
        selector = f"modelpress.io/model={name},modelpress.io/role=compress"
        states = [
            status
            for pod in kubectl.get(place.namespace, "pods", "--selector", selector)["items"]
            for status in pod["status"].get("initContainerStatuses", [])
        ]
        return any(status["name"] == container and "running" in status["state"] for status in states)

    wait_for(look, f"container {container} of {name}", PATIENCE, lambda: place.explain(name))


def await_store_trouble(place: Workplace, name: str) -> dict[str, Any]:
    """Return the condition Ready of a model once the store fails it."""

    def look() -> dict[str, Any] | None:
        ready = place.conditions(name).get("Ready", {})
        return ready if ready.get("reason") in ("StoreFull", "StoreUnavailable") else None

    return wait_for(look, f"{name}: trouble with the store", PATIENCE, lambda: place.explain(name))


def test_a_full_store_is_said_changes_nothing_that_serves_and_is_over_once_there_is_room(
    place: Workplace, small_store: OwnStore
) -> None:
    """StoreUnavailable is taken too: rclone answers InternalError to whatever its disk says, ENOSPC among it."""
    before = place.model("kept")["status"]["currentRevision"]
    small_store.fill()
    place.apply(wanted(place, "kept", compression={"stages": [{"fuse": {}}]}))
    place.apply(wanted(place, "unwanted"))
    for name in ("kept", "unwanted"):
        told = await_store_trouble(place, name)
        assert f"s3://{own_store.BUCKET}" in told["message"]
        assert place.conditions(name)["Stalled"]["status"] == "False"
    assert place.conditions("kept")["Available"]["status"] == "True"
    assert place.model("kept")["status"]["currentRevision"] == before
    place.ask("kept", ROW, ["scores"])
    place.delete("unwanted")
    small_store.make_room()
    assert place.await_ready("kept", seconds=PATIENCE)["currentRevision"] != before
    place.ask("kept", ROW, ["scores"])


def test_a_store_that_goes_away_during_compression_is_waited_for(place: Workplace, small_store: OwnStore) -> None:
    place.apply(wanted(place, "returning", serving={"replicas": 2}))
    place.apply(wanted(place, "forsaken"))
    await_container(place, "returning", "compress")
    small_store.go_away()
    for name in ("returning", "forsaken"):
        place.await_condition(name, "Ready", "False", "StoreUnavailable", seconds=PATIENCE)
        assert place.conditions(name)["Stalled"]["status"] == "False"
    place.ask("kept", ROW, ["scores"])
    place.delete("forsaken")
    small_store.come_back()
    assert place.await_ready("returning", seconds=PATIENCE)["readyReplicas"] == 2


def test_a_changed_file_is_not_served_the_other_replica_answers_and_the_right_file_brings_it_back(
    place: Workplace, small_store: OwnStore
) -> None:
    uri = model_file(place, "returning")
    accepted = small_store.read(uri)
    small_store.write(uri, with_another_byte(accepted))
    pod = delete_a_pod(place, "returning")
    told = place.await_condition("returning", "Ready", "False", "ArtifactChanged")
    assert "onnx/model.onnx" in told["message"]
    assert "restore it" in told["message"]
    kubectl.run("kubectl", "wait", "--for=delete", f"pod/{pod}", f"--namespace={place.namespace}", "--timeout=180s")
    assert place.conditions("returning")["Available"]["status"] == "True"
    place.ask("returning", ROW, ["scores"])
    small_store.write(uri, accepted)
    place.await_condition("returning", "Ready", "True", seconds=PATIENCE)
    assert place.model("returning")["status"]["readyReplicas"] == 2


def test_the_retry_token_has_a_changed_file_made_again(place: Workplace, small_store: OwnStore) -> None:
    uri = model_file(place, "returning")
    small_store.write(uri, with_another_byte(small_store.read(uri)))
    delete_a_pod(place, "returning")
    place.await_condition("returning", "Ready", "False", "ArtifactChanged")
    place.apply(
        wanted(
            place, "returning", serving={"replicas": 2}, rollout={"strategy": "BlueGreen", "retryToken": "once-more"}
        )
    )
    place.await_condition("returning", "Ready", "True", seconds=PATIENCE)
    place.ask("returning", ROW, ["scores"])


def test_a_model_whose_files_vanished_is_told_so_and_can_be_deleted(place: Workplace) -> None:
    """The store came back empty, so the files of `kept`, which was published before, are gone."""
    delete_a_pod(place, "kept")
    told = place.await_condition("kept", "Ready", "False", "ArtifactChanged")
    assert "kept" in told["message"]
    place.delete("kept")
