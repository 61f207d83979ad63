"""A namespace of a test's own on the real cluster: upload, apply, await conditions, ask."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import kubectl
import numpy.typing as npt
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from stores import Store
from tests.support import reading
from tritonclient.utils import np_to_triton_dtype

PATIENCE = 300.0
"""Seconds to wait for a condition: many times what it takes, because the machine may be busy."""

JOB_REQUESTS = {"cpu": "200m", "memory": "512Mi"}
SERVING_REQUESTS = {"cpu": "40m", "memory": "300Mi"}
"""What the pods of small models reserve, so that a dozen servers and a few compressions fit on a node of two cores."""

Array = npt.NDArray[Any]
T = TypeVar("T")


def wait_for(look: Callable[[], T | None], what: str, seconds: float = PATIENCE, explain: Callable[[], str] = str) -> T:
    """Return the first true value of `look`; fail with `what` and `explain()` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for {what}; {explain()}")
        time.sleep(0.5)


def sparing(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the CompressedModel with small requests where it names none."""
    spec = manifest["spec"]
    job = spec["compression"].get("job", {})
    serving = spec.get("serving", {})
    job = {**job, "resources": {"requests": JOB_REQUESTS, **job.get("resources", {})}}
    serving = {**serving, "resources": {"requests": SERVING_REQUESTS, **serving.get("resources", {})}}
    compression = {**spec["compression"], "job": job}
    return {**manifest, "spec": {**spec, "compression": compression, "serving": serving}}


@dataclass(frozen=True)
class Workplace:
    """One namespace, with the Secrets models-read, artifacts-write and artifacts-read in it."""

    namespace: str
    store: Store

    def put(self, folder: Path, name: str) -> None:
        """Upload `folder`/source to s3://models/<namespace>/<name>/ and `folder`/data to s3://data/<namespace>/<name>/."""
        self.store.upload(folder, f"{self.namespace}/{name}")

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """`kubectl apply` one manifest."""
        kubectl.apply(json.dumps(manifest), self.namespace)

    def model(self, name: str) -> dict[str, Any]:
        """Return the CompressedModel."""
        return reading.model(self.namespace, name)

    def conditions(self, name: str) -> dict[str, dict[str, Any]]:
        """Return the model's conditions by type; none while they speak of an older generation."""
        model = self.model(name)
        status = model.get("status", {})
        if status.get("observedGeneration") != model["metadata"]["generation"]:
            return {}
        return {condition["type"]: condition for condition in status.get("conditions", [])}

    def await_condition(
        self, name: str, kind: str, status: str, reason: str | None = None, seconds: float = PATIENCE
    ) -> dict[str, Any]:
        """Return the condition once it has `status` (and `reason`)."""

        def look() -> dict[str, Any] | None:
            condition = self.conditions(name).get(kind, {})
            met = condition.get("status") == status and reason in (None, condition.get("reason"))
            return condition if met else None

        return wait_for(look, f"{name}: {kind}={status} {reason or ''}", seconds, lambda: self.explain(name))

    def await_ready(self, name: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """Return the model's status once it is Ready; fail at once, with its sentence, if it stalls."""

        def look() -> dict[str, Any] | None:
            conditions = self.conditions(name)
            stalled = conditions.get("Stalled", {})
            assert stalled.get("status") != "True", f"{name} stalled: {stalled['reason']}: {stalled['message']}"
            return conditions if conditions.get("Ready", {}).get("status") == "True" else None

        wait_for(look, f"{name} to be Ready", seconds, lambda: self.explain(name))
        found: dict[str, Any] = self.model(name)["status"]
        return found

    def events(self, name: str) -> list[tuple[str, str]]:
        """Return (reason, message) of the model's Events."""
        found = reading.events(self.namespace, name)
        return [
            (event["reason"], event["message"])
            for event in found
            if event["involvedObject"]["kind"] == "CompressedModel"
        ]

    def explain(self, name: str) -> str:
        """Say what the cluster knows of the model, for a failed test."""
        status = self.model(name).get("status", {})
        pods = kubectl.run("kubectl", "get", "pods", "--namespace", self.namespace)
        return json.dumps(status.get("conditions", []), indent=1) + "\n" + pods

    def ask(
        self, name: str, inputs: Mapping[str, Array], outputs: list[str], protocol: str = "grpc"
    ) -> dict[str, Array]:
        """Ask the model's Service and return the answers."""
        library = triton_grpc if protocol == "grpc" else triton_http
        port = 8001 if protocol == "grpc" else 8000
        with kubectl.port_forward(self.namespace, f"service/{name}", port) as (address,):
            client = library.InferenceServerClient(address)
            tensors = []
            for key, value in inputs.items():
                tensor = library.InferInput(key, list(value.shape), np_to_triton_dtype(value.dtype))
                tensor.set_data_from_numpy(value)
                tensors.append(tensor)
            result = client.infer(name, tensors)
            client.close()
        return {output: result.as_numpy(output) for output in outputs}

    def service_address(self, name: str, port: int) -> str:
        """Return ip:port of the model's Service."""
        return f"{kubectl.get(self.namespace, 'service', name)['spec']['clusterIP']}:{port}"

    def delete(self, name: str, seconds: float = 60.0) -> None:
        """Delete the model and wait until it is gone."""
        kubectl.run(
            "kubectl", "delete", "compressedmodel", name, "--namespace", self.namespace, f"--timeout={seconds:.0f}s"
        )
