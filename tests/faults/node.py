"""The controllers and the kubelet that a bare API server lacks, as far as the planner can tell the difference.

Jobs end well, and Deployments get as many ready pods as they want.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.support.world import Ends, healthy, obliging

from modelpress.control.kinds import kind_by_plural

Send = Callable[..., Any]
"""Takes verb, path and body (of a PATCH: to merge); returns the answer's body."""


def _now() -> str:
    """Return the time as the API server writes it: the operator waits for a pod's words from the end of its Job on."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Node:
    """One namespace's controllers; `step` lets them act once."""

    def __init__(self, namespace: str, send: Send) -> None:
        self._namespace, self._send = namespace, send

    def step(self) -> None:
        for job in self._list("batch", "jobs"):
            if not (job.get("status") or {}).get("conditions"):
                self._end_job(job)
        for deployment in self._list("apps", "deployments"):
            status = deployment.get("status") or {}
            wanted = deployment["spec"]["replicas"]
            if (status.get("readyReplicas", 0), status.get("observedGeneration")) != (
                wanted,
                deployment["metadata"]["generation"],
            ):
                self._come_up(deployment, wanted)

    def _path(self, group: str, plural: str) -> str:
        kind = kind_by_plural(group, plural)
        assert kind is not None
        return kind.collection(self._namespace)

    def _list(self, group: str, plural: str) -> list[Any]:
        kind = kind_by_plural(group, plural)
        assert kind is not None
        identity = {"apiVersion": kind.api_version, "kind": kind.kind}
        return [identity | item for item in self._send("GET", kind.collection(self._namespace))["items"]]

    def _end_job(self, job: dict[str, Any]) -> None:
        script = obliging(job)
        assert isinstance(script, Ends)
        template = job["spec"]["template"]["spec"]
        last = template["containers"][-1]["name"]
        now = _now()
        over = {"exitCode": 0, "finishedAt": now}
        first = [_status(container["name"], {"terminated": over}) for container in template.get("initContainers", ())]
        rest = [_status(last, {"terminated": over | {"message": script.message}})]
        labels = {
            "batch.kubernetes.io/job-name": job["metadata"]["name"],
            "batch.kubernetes.io/controller-uid": job["metadata"]["uid"],
        }
        self._put_pod(
            job, "pod", labels, {"phase": "Succeeded", "initContainerStatuses": first, "containerStatuses": rest}
        )
        ends = [
            {"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("SuccessCriteriaMet", "Complete")
        ]
        status = {
            "startTime": now,
            "completionTime": now,
            "succeeded": 1,
            "conditions": ends,
            "uncountedTerminatedPods": {},
        }
        self._send("PATCH", f"{self._path('batch', 'jobs')}/{job['metadata']['name']}/status", {"status": status})

    def _come_up(self, deployment: dict[str, Any], wanted: int) -> None:
        for index in range(wanted):
            status = {"phase": "Running", **healthy(deployment, index)}
            for statuses in (status["initContainerStatuses"], status["containerStatuses"]):
                statuses[:] = [_status(item["name"], item["state"], ready=True) for item in statuses]
            self._put_pod(deployment, f"pod-{index}", {}, status)
        status = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), wanted)
        status["observedGeneration"] = deployment["metadata"]["generation"]
        path = f"{self._path('apps', 'deployments')}/{deployment['metadata']['name']}/status"
        self._send("PATCH", path, {"status": status})

    def _put_pod(self, owner: dict[str, Any], suffix: str, labels: dict[str, str], status: dict[str, Any]) -> None:
        """Create the pod from its owner's template if it is not there, and give it `status`."""
        name = f"{owner['metadata']['name']}-{suffix}"
        template = owner["spec"]["template"]
        reference = {name: owner[name] for name in ("apiVersion", "kind")}
        reference |= {name: owner["metadata"][name] for name in ("name", "uid")}
        metadata = {"name": name, "labels": template["metadata"]["labels"] | labels, "ownerReferences": [reference]}
        if name in (pod["metadata"]["name"] for pod in self._list("", "pods")):
            return
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        self._send("POST", self._path("", "pods"), pod)
        self._send("PATCH", f"{self._path('', 'pods')}/{name}/status", {"status": status})


def _status(name: str, state: dict[str, Any], *, ready: bool = False) -> dict[str, Any]:
    return {"name": name, "state": state, "image": "i", "imageID": "i", "restartCount": 0, "ready": ready}
