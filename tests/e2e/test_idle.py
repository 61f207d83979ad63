"""Idle means idle: no write but the Lease, and a change is acted on at once all the same."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubectl
import pytest
from tests.e2e.bad_inputs import BadInput, manifest, write_good
from tests.support.workplace import Workplace, wait_for

OPERATOR = "system:serviceaccount:modelpress-system:modelpress"
MODELS = [f"idle-{number}" for number in range(10)]
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


@pytest.fixture(scope="module")
def ten_models(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Ten models: one serves, nine are compressed and scaled to zero."""
    folder = tmp_path_factory.mktemp("idle")
    write_good(folder)
    for name in MODELS:
        workplace.put(folder, name)
        wanted = manifest(BadInput(name, "", ""), workplace.namespace)
        wanted["spec"]["serving"] = {"replicas": 1 if name == MODELS[0] else 0}
        workplace.apply(wanted)
    for name in MODELS:
        workplace.await_ready(name, seconds=900)
    return workplace


def operators_writes(audit_log: Path, since: float) -> list[str]:
    """Return the operator's writes since `since` (seconds since the epoch), its Lease's left out."""
    found = []
    for entry in _entries(audit_log):
        reference = entry.get("objectRef", {})
        writes = entry["verb"] in WRITES and entry["user"]["username"] == OPERATOR
        if writes and reference.get("resource") != "leases" and _seconds(entry) >= since:
            found.append(f"{entry['verb']} {reference.get('resource')}/{reference.get('name')}")
    return found


def _entries(audit_log: Path) -> Iterator[dict[str, Any]]:
    with audit_log.open() as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)


def _seconds(entry: dict[str, Any]) -> float:
    from datetime import datetime

    return datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp()


@pytest.mark.parametrize("minutes", [1, pytest.param(5, marks=pytest.mark.long)], ids=["one minute", "five minutes"])
def test_ten_idle_models_are_not_written_to_and_then_a_change_is_acted_on_within_five_seconds(
    ten_models: Workplace, installed: Path, minutes: int
) -> None:
    audit_log = installed.parent / "audit.log"
    wait_for(
        lambda: not operators_writes(audit_log, time.time() - 15),
        "the operator to come to rest",
        seconds=120,
        explain=lambda: str(operators_writes(audit_log, time.time() - 15)),
    )
    since = time.time()
    ended = since + minutes * 60
    wait_for(lambda: time.time() > ended, "the idle time to pass", seconds=minutes * 60 + 30)
    assert operators_writes(audit_log, since) == []
    changed = manifest(BadInput(MODELS[0], "", ""), ten_models.namespace)
    changed["spec"]["suspend"] = True
    before = time.time()
    ten_models.apply(changed)
    wait_for(
        lambda: operators_writes(audit_log, before),
        "a write after the change",
        seconds=60,
        explain=lambda: ten_models.explain(MODELS[0]),
    )
    first = next(
        _seconds(entry)
        for entry in _entries(audit_log)
        if entry["verb"] in WRITES
        and entry["user"]["username"] == OPERATOR
        and _seconds(entry) >= before
        and entry.get("objectRef", {}).get("resource") != "leases"
    )
    assert first - before < 5
    del changed["spec"]["suspend"]
    ten_models.apply(changed)


def test_a_model_can_be_deleted_while_no_operator_runs(ten_models: Workplace) -> None:
    scale = ("kubectl", "scale", "--namespace=modelpress-system", "deployment/modelpress")
    kubectl.run(*scale, "--replicas=0")
    try:
        kubectl.run(
            "kubectl", "wait", "--namespace=modelpress-system", "--for=delete", "pods",
            "--selector=app.kubernetes.io/component=operator", "--timeout=120s",
        )  # fmt: skip
        ten_models.delete(MODELS[1])
        wait_for(
            lambda: (
                MODELS[1]
                not in kubectl.run("kubectl", "get", "all,modelrevisions", "--namespace", ten_models.namespace)
            ),
            "everything of the model to be collected",
        )
    finally:
        kubectl.run(*scale, "--replicas=1")
        kubectl.run(
            "kubectl", "rollout", "status", "--namespace=modelpress-system", "deployment/modelpress", "--timeout=180s"
        )
