"""SIGKILL of the operator before and after each of its writes: the end state is the same, names and times aside."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.hands import Hands, hands
from tests.faults.stoppable import Stop, StoppableOperator, settings_for
from tests.integration.control import tiny
from tests.support.apiserver import ApiServer

from modelpress.control.kinds import MODEL, WATCHED, path_of
from modelpress.control.plan import Reference

PATIENCE = 90.0
NAME = "model"

FIRST = {
    "apply": [
        {"manifest": tiny.config_map("settings", stays="1", goes="2")},
        {"manifest": tiny.config_map("record", made="once"), "once": True},
        {"manifest": tiny.deployment("pods"), "atCreation": {"spec": {"replicas": 3}}},
        {"manifest": tiny.config_map("passing", a="1")},
    ],
    "events": [["Normal", "Started", "The first spec is in place."]],
}
SECOND = {
    "apply": [
        {"manifest": tiny.config_map("settings", stays="1")},
        {"manifest": tiny.deployment("pods", args=["--new"]), "atCreation": {"spec": {"replicas": 3}}},
    ],
    "scale": {"pods": 1},
    "delete": [["ConfigMap", "passing"]],
    "events": [["Warning", "Changed", "The second spec is in place."]],
}


class Scenario:
    """A namespace in which the model gets its first spec and then its second."""

    def __init__(self, api_server: ApiServer, hands: Hands, folder: Path) -> None:
        self._hands = hands
        self._namespace = f"killed-{uuid.uuid4().hex[:8]}"
        self._reference = Reference(MODEL.api_version, MODEL.kind, self._namespace, NAME)
        self.log = folder / f"{self._namespace}.log"
        self.log.touch()
        self._settings = settings_for(self._namespace, api_server)
        self._operator = StoppableOperator(self._settings, tiny.plan, None, self.log)

    def play(self, stop: Stop | None) -> list[Any]:
        """Play it to the end, with a restart after the kill, and return what the namespace holds then."""
        self._hands.send("POST", "/api/v1/namespaces", {"metadata": {"name": self._namespace}})
        self._operator.start(stop)
        try:
            live = self._hands.send(
                "POST", MODEL.collection(self._namespace), tiny.model(NAME, self._namespace, **FIRST)
            )
            self._await_settled()
            live = self._hands.send("GET", path_of(self._reference))
            self._hands.send("PUT", path_of(self._reference), live | {"spec": SECOND})
            self._await_settled()
            while not self._operator.end():
                self._operator.start()
                self._await_settled()
        finally:
            self._operator.end()
        return self._state()

    def writes(self) -> list[str]:
        return self.log.read_text().splitlines()

    def _await_settled(self) -> None:
        """Wait until the status speaks of the present generation; start the operator again once it was killed."""
        deadline = time.monotonic() + PATIENCE
        while True:
            if self._operator.was_killed():
                self._operator.start()
            live = self._hands.send("GET", path_of(self._reference))
            status = live.get("status") or {}
            if status.get("observedGeneration") == live["metadata"]["generation"] and self._is_as_wanted(live):
                assert status["problems"] == []
                return
            assert time.monotonic() < deadline, f"never settled: {live}"
            time.sleep(0.1)

    def _is_as_wanted(self, live: Any) -> bool:
        """Say whether the status names exactly the children that there are: the last write of each step."""
        there = [f"{item['kind']}/{item['metadata']['name']}" for item in self._objects() if item["kind"] != MODEL.kind]
        return bool(live["status"]["children"] == sorted(there))

    def _objects(self) -> Iterator[Any]:
        for kind in WATCHED:
            for item in self._hands.send("GET", kind.collection(self._namespace))["items"]:
                yield {"apiVersion": kind.api_version, "kind": kind.kind, **item}

    def _state(self) -> list[Any]:
        events = self._hands.send("GET", f"/api/v1/namespaces/{self._namespace}/events")["items"]
        said = sorted([event["type"], event["reason"], event["message"], event["count"]] for event in events)
        return [said, *(_essence(item) for item in self._objects())]


def _essence(item: Any) -> Any:
    """Return `item` without what differs from run to run, but with who owns which of its fields."""
    metadata = item["metadata"]
    managers = sorted(
        [entry["manager"], entry["operation"], entry.get("subresource", ""), _sorted(_anonymous(entry["fieldsV1"]))]
        for entry in metadata.get("managedFields", ())
    )
    owners = [owner["kind"] for owner in metadata.get("ownerReferences", ())]
    kept = {name: metadata[name] for name in ("name", "labels") if name in metadata}
    content = {name: value for name, value in item.items() if name not in ("metadata", "status")}
    return {"metadata": kept, "owners": owners, "managers": managers, **content}


def _anonymous(fields: Any) -> Any:
    """Return managed fields with UIDs taken out of the keys of owner references."""
    if not isinstance(fields, dict):
        return fields
    return {'k:{"uid":…}' if '"uid"' in name else name: _anonymous(below) for name, below in fields.items()}


def _sorted(fields: Any) -> str:
    return json.dumps(fields, sort_keys=True)


@pytest.mark.timeout(900)
def test_a_kill_before_and_after_each_write_leads_to_the_same_end(served_kinds: ApiServer, tmp_path: Path) -> None:
    with hands(served_kinds.kubeconfig) as connected:
        undisturbed = Scenario(served_kinds, connected, tmp_path)
        expected = undisturbed.play(None)
        writes = undisturbed.writes()
        assert len(writes) >= 10, writes
        for number in range(1, len(writes) + 1):
            for side in ("before", "after"):
                stop = Stop(side, number)
                assert Scenario(served_kinds, connected, tmp_path).play(stop) == expected, (
                    f"killed {stop}: {writes[number - 1]}"
                )
