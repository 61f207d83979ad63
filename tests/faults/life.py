"""Lives of models under the product's own planner, against a real API server: made, served, changed, scaled."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.hands import Hands
from tests.faults.node import Node
from tests.faults.stoppable import Stop, StoppableOperator, settings_for
from tests.support.apiserver import ApiServer
from tests.support.models import INSTALLATION, a_spec

from modelpress.api.names import REVISION_LABEL
from modelpress.control.kinds import MODEL, WATCHED, path_of
from modelpress.control.plan import Reference
from modelpress.control.planner import plan

PATIENCE = 180.0
QUIET = 1.0
AT_A_TIME = 8
DONE = object()
NAME = "digits"
NEW_BATCHING = {"batching": {"maxBatchSize": 4}}


class Life:
    """A model's life in a namespace of its own: made, served, changed, served again."""

    def __init__(
        self,
        api_server: ApiServer,
        hands: Hands,
        folder: Path,
        rollout: dict[str, Any],
        serving: dict[str, Any] | None = None,
    ) -> None:
        self._hands = hands
        self._spec = a_spec(rollout=rollout, serving=serving)
        self.end_state: list[str] = []
        self.written: list[str] = []
        self._namespace = f"life-{uuid.uuid4().hex[:8]}"
        self._path = path_of(Reference(MODEL.api_version, MODEL.kind, self._namespace, NAME))
        self._log = folder / f"{self._namespace}.log"
        self._log.touch()
        self._settings = settings_for(self._namespace, api_server)
        self._operator = StoppableOperator(self._settings, plan, INSTALLATION, self._log)
        self._node = Node(self._namespace, hands.send)

    def live(self, stop: Stop | None) -> Iterator[None]:
        """Live it step by step, with a restart after the kill; `end_state` says afterwards what the namespace holds."""
        yield from self._born(stop)
        try:
            yield from self._until_ready()
            self._hands.send("PATCH", self._path, {"spec": {"serving": NEW_BATCHING}})
            yield from self._until_ready()
            while not self._operator.end():
                self._operator.start()
                yield from self._until_ready()
        finally:
            self._operator.end()
        self.end_state = self._state()

    def scaled(self, counts: tuple[int, ...]) -> Iterator[None]:
        """Live it until it serves, and then as somebody at /scale wants it, before a restart of the operator and after.

        `written` says afterwards what was written since it served, statuses of the model aside.
        """
        yield from self._born(None)
        try:
            yield from self._until_ready()
            before = len(self.writes())
            for number, count in enumerate(counts):
                self._scale(count)
                yield from self._until_ready()
                if number == len(counts) // 2:
                    assert self._operator.end()
                    self._operator.start()
                    yield from self._until_ready()
            self.written = [write for write in self.writes()[before:] if not write.endswith(f"/{NAME}/status")]
        finally:
            self._operator.end()

    def _scale(self, count: int) -> None:
        """Set the number of pods as autoscalers do: what is read at /scale is written back there."""
        (name,) = self._names(f"/apis/apps/v1/namespaces/{self._namespace}/deployments")
        path = f"/apis/apps/v1/namespaces/{self._namespace}/deployments/{name}/scale"
        self._hands.send("PUT", path, self._hands.send("GET", path) | {"spec": {"replicas": count}})

    def _born(self, stop: Stop | None) -> Iterator[None]:
        """Make the namespace and the model, and start the operator."""
        core = f"/api/v1/namespaces/{self._namespace}"
        self._hands.send("POST", "/api/v1/namespaces", {"metadata": {"name": self._namespace}})
        self._hands.send("POST", f"{core}/serviceaccounts", {"metadata": {"name": "default"}})
        identity = {"apiVersion": MODEL.api_version, "kind": MODEL.kind, "metadata": {"name": NAME}}
        self._hands.send("POST", MODEL.collection(self._namespace), identity | {"spec": self._spec})
        self._operator.start(stop)
        yield

    def writes(self) -> list[str]:
        return self._log.read_text().splitlines()

    def _until_ready(self) -> Iterator[None]:
        """Go on until the present spec serves alone and nothing has been written for a while."""
        deadline, quiet_since, before = time.monotonic() + PATIENCE, time.monotonic(), len(self.writes())
        while True:
            if self._operator.was_killed():
                self._operator.start()
            self._node.step()
            model = self._hands.send("GET", self._path)
            if len(self.writes()) != before or not _is_ready(model) or not self._serves_alone(model):
                quiet_since, before = time.monotonic(), len(self.writes())
            elif time.monotonic() - quiet_since > QUIET:
                return
            assert time.monotonic() < deadline, f"never served: {json.dumps(model.get('status'), indent=1)}"
            yield

    def _serves_alone(self, model: Any) -> bool:
        """Say whether the current revision has pods and what belongs to them, and no other has any of it left.

        An operator that was killed in between is silent while it starts again; that does not mean it is done.
        """
        current = model["status"].get("currentRevision")
        return all(
            self._names(f"{path}?labelSelector={REVISION_LABEL}") == [current]
            for path in (
                f"/apis/apps/v1/namespaces/{self._namespace}/deployments",
                f"/api/v1/namespaces/{self._namespace}/configmaps",
                f"/api/v1/namespaces/{self._namespace}/services",
            )
        )

    def _names(self, path: str) -> list[str]:
        return [item["metadata"]["name"] for item in self._hands.send("GET", path)["items"]]

    def _state(self) -> list[str]:
        """Return every object but pods, without names of this run and without times."""
        found = []
        for kind in WATCHED:
            if kind.plural == "pods":
                continue
            for item in self._hands.send("GET", kind.collection(self._namespace))["items"]:
                metadata = item["metadata"]
                item["metadata"] = {
                    name: metadata[name] for name in ("name", "labels", "annotations") if name in metadata
                }
                item["metadata"]["owners"] = [owner["name"] for owner in metadata.get("ownerReferences", ())]
                found.append(kind.plural + " " + json.dumps(item, sort_keys=True))
        text = "\n".join(found).replace(self._namespace, "NAMESPACE")
        text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID", text)
        text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", "TIME", text)
        text = re.sub(r"\b10\.\d+\.\d+\.\d+\b", "ADDRESS", text)
        return sorted(text.splitlines())


def _is_ready(model: Any) -> bool:
    """Say whether Ready is True for the present spec."""
    conditions = (model.get("status") or {}).get("conditions") or ()
    ready: dict[str, Any] = next((item for item in conditions if item["type"] == "Ready"), {})
    return (ready.get("status"), ready.get("observedGeneration")) == ("True", model["metadata"]["generation"])


def play(waiting: list[Iterator[None]]) -> None:
    """Step through all lives, a few at a time."""
    playing: list[Iterator[None]] = []
    while waiting or playing:
        while waiting and len(playing) < AT_A_TIME:
            playing.append(waiting.pop(0))
        playing = [life for life in playing if next(life, DONE) is not DONE]
        time.sleep(0.1)
