"""An API server, controllers of Jobs and Deployments, a kubelet and a Gateway in memory, as far as the planner can tell
the difference."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from tests.support.models import NOON, stamp
from tests.support.scripts import ROLE, Hangs, Script, accepting, healthy, obliging

from modelpress.control.plan import Plan, Reference


def wire(value: Any) -> Any:
    """Return `value` as it comes back from an API server."""
    return orjson.loads(orjson.dumps(value))


class Controllers:
    """One namespace, and whoever works in it beside the operator. `created` and `deleted` name objects, in order."""

    def __init__(self) -> None:
        self.now: datetime = NOON
        self.objects: dict[Reference, dict[str, Any]] = {}
        self.jobs: Script = obliging
        self.pods: Callable[[dict[str, Any], int], dict[str, Any]] = healthy
        self.gateway: Callable[[dict[str, Any]], dict[str, Any] | None] = accepting
        self.events: list[tuple[str, str, str]] = []
        self.created: list[str] = []
        self.deleted: list[str] = []
        self._version = 100

    def of(self, kind: str, role: str | None = None) -> list[dict[str, Any]]:
        """Return the objects of `kind`, by name."""
        found = [(reference.name, item) for reference, item in self.objects.items() if reference.kind == kind]
        return [
            item
            for _, item in sorted(found, key=lambda pair: pair[0])
            if role in (None, (item["metadata"].get("labels") or {}).get(ROLE))
        ]

    def names(self, kind: str, role: str | None = None) -> list[str]:
        """Return the names of the objects of `kind`."""
        return [item["metadata"]["name"] for item in self.of(kind, role)]

    def carry_out(self, made: Plan) -> None:
        """Do what a plan says."""
        for wish in made.apply:
            self._apply(wire(wish.manifest), wish.at_creation, once=wish.once)
        for scale in made.scale:
            self.objects[scale.reference]["spec"]["replicas"] = scale.replicas
            self._touch(self.objects[scale.reference])
        for delete in made.delete:
            found = self.objects.get(delete.reference)
            if found is not None and found["metadata"]["uid"] == delete.uid:
                self.remove(delete.reference)
        for write in made.status:
            found = self.objects.get(write.reference)
            if found is not None and found.get("status") != wire(write.status):
                found["status"] = wire(write.status)
                self._touch(found, generation=False)
        self.events += [(note.type, note.reason, note.message) for note in made.events]

    def remove(self, reference: Reference) -> None:
        """Delete an object and what it owns."""
        gone = self.objects.pop(reference)
        self.deleted.append(str(reference))
        uid = gone["metadata"]["uid"]
        for other, item in list(self.objects.items()):
            owners = {owner["uid"] for owner in item["metadata"].get("ownerReferences") or ()}
            if uid in owners and other in self.objects:
                self.remove(other)

    def _apply(self, manifest: dict[str, Any], at_creation: Any, *, once: bool) -> None:
        reference = Reference.of(manifest)
        live = self.objects.get(reference)
        if live is None:
            if at_creation:
                manifest["spec"] = {**manifest["spec"], **at_creation["spec"]}
            self._version += 1
            manifest["metadata"] |= {
                "uid": f"uid-{reference.name}-{self._version}",
                "creationTimestamp": stamp(self.now),
                "generation": 1,
                "resourceVersion": str(self._version),
            }
            self.objects[reference] = manifest
            self.created.append(str(reference))
        elif not once:
            replicas = live.get("spec", {}).get("replicas")
            parts = {name: manifest[name] for name in ("spec", "data") if name in manifest}
            if replicas is not None:
                parts["spec"] = {**parts["spec"], "replicas": replicas}
            annotations = manifest["metadata"].get("annotations")
            changed = any(live.get(name) != part for name, part in parts.items())
            if changed or live["metadata"].get("annotations") != annotations:
                live.update(parts)
                live["metadata"].pop("annotations", None)
                live["metadata"] |= {"annotations": annotations} if annotations is not None else {}
                self._touch(live, generation=changed)

    def fingerprint(self) -> bytes:
        """Return what tells this state of all objects from every other one."""
        return orjson.dumps(list(self.objects.values()))

    def _touch(self, item: dict[str, Any], *, generation: bool = False) -> None:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        if generation:
            item["metadata"]["generation"] = item["metadata"].get("generation", 1) + 1

    def run_controllers(self) -> None:
        """Let Jobs run, Deployments come up and the Gateway look at routes."""
        for job in self.of("Job"):
            if not (job.get("status") or {}).get("conditions"):
                self._run_job(job)
        for deployment in self.of("Deployment"):
            self._run_deployment(deployment)
        for route in self.of("HTTPRoute") + self.of("GRPCRoute"):
            self._run_route(route)

    def _run_route(self, route: dict[str, Any]) -> None:
        said = self.gateway(route)
        if said is not None:
            condition = {**said, "observedGeneration": route["metadata"]["generation"]}
            route["status"] = {"parents": [{"parentRef": route["spec"]["parentRefs"][0], "conditions": [condition]}]}

    def _run_job(self, job: dict[str, Any]) -> None:
        script = self.jobs(job)
        template = job["spec"]["template"]["spec"]
        first = [container["name"] for container in template.get("initContainers", ())]
        last = [container["name"] for container in template["containers"]]
        if isinstance(script, Hangs):
            self._put_pod(job, script.pod)
            return
        failing = script.container or last[0]
        statuses = {}
        for name in [*first, *last]:
            code = script.exit_code if name == failing else 0
            over = {"exitCode": code, "finishedAt": stamp(self.now)}
            over |= {"message": script.message} if name == failing else {}
            over |= {"reason": script.reason} if name == failing and script.reason else {}
            statuses[name] = {"name": name, "state": {"terminated": over}}
            if code:
                break
        pod = {
            "initContainerStatuses": [statuses[name] for name in first if name in statuses],
            "containerStatuses": [statuses.get(name, {"name": name, "state": {"waiting": {}}}) for name in last],
            **script.pod,
        }
        if not script.deadline:
            self._put_pod(job, pod)
        failed = script.exit_code or script.deadline or script.pod.get("reason")
        outcome = {"type": "Failed" if failed else "Complete", "status": "True", "lastTransitionTime": stamp(self.now)}
        outcome |= {"reason": "DeadlineExceeded"} if script.deadline else {}
        job["status"] = {"conditions": [outcome]}
        self._touch(job, generation=False)

    def _put_pod(self, owner: dict[str, Any], status: dict[str, Any], name: str = "") -> None:
        labels = owner["spec"]["template"]["metadata"]["labels"]
        if owner["kind"] == "Job":
            job_labels = {
                "batch.kubernetes.io/job-name": owner["metadata"]["name"],
                "batch.kubernetes.io/controller-uid": owner["metadata"]["uid"],
            }
            labels = {**labels, **job_labels}
        name = name or f"{owner['metadata']['name']}-pod"
        reference = Reference("v1", "Pod", "team-a", name)
        if reference in self.objects:
            self.objects[reference]["status"] = status
            return
        self._version += 1
        self.objects[reference] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": "team-a",
                "uid": f"uid-{name}-{self._version}",
                "resourceVersion": str(self._version),
                "creationTimestamp": stamp(self.now),
                "labels": labels,
                "ownerReferences": [{"uid": owner["metadata"]["uid"]}],
            },
            "status": status,
        }

    def _run_deployment(self, deployment: dict[str, Any]) -> None:
        wanted = deployment["spec"]["replicas"]
        prefix = f"{deployment['metadata']['name']}-pod-"
        for name in self.names("Pod"):
            if name.startswith(prefix) and int(name.removeprefix(prefix)) >= wanted:
                self.remove(Reference("v1", "Pod", "team-a", name))
        ready = 0
        for index in range(wanted):
            status = self.pods(deployment, index)
            self._put_pod(deployment, status, f"{prefix}{index}")
            ready += {"type": "Ready", "status": "True"} in status.get("conditions", ())
        deployment["status"] = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": wanted,
            "updatedReplicas": wanted,
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
