"""Idle means idle: no write but the Lease, and a change is acted on at once all the same."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import installation
import kubectl
import pytest
from tests.e2e.bad_inputs import BadInput, manifest, write_good
from tests.support.audit import OPERATOR, writes
from tests.support.workplace import Workplace, sparing, wait_for

FIRST, SECOND = "idle-0", "idle-1"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a small model."""
    folder = tmp_path_factory.mktemp("idle")
    write_good(folder)
    return folder


def wanted(workplace: Workplace, name: str) -> dict[str, Any]:
    """The small model; the first serves, the others are compressed and scaled to zero."""
    found = manifest(BadInput(name, "", ""), workplace.namespace)
    found["spec"]["serving"] = {"replicas": 1 if name == FIRST else 0}
    return sparing(found)


def settle(workplace: Workplace, small: Path, count: int) -> None:
    """Have `count` models Ready."""
    names = [f"idle-{number}" for number in range(count)]
    for name in names:
        workplace.put(small, name)
        workplace.apply(wanted(workplace, name))
    for name in names:
        workplace.await_ready(name, seconds=900)


def operators_writes(audit_log: Path, namespace: str, since: float) -> list[tuple[float, str]]:
    """Return when and what the operator wrote since `since` (seconds since the epoch), its Lease left out.

    Writes to models of other namespaces do not count: other tests may run.
    """
    found = writes(audit_log, (namespace, installation.NAMESPACE, ""), since)
    return [
        (write.at, f"{write.verb} {write.resource}/{write.name}")
        for write in found
        if write.user == OPERATOR and write.resource != "leases"
    ]


@pytest.mark.parametrize(
    ("count", "minutes"),
    [(3, 1), pytest.param(10, 5, marks=[pytest.mark.long, pytest.mark.timeout(1800)])],
    ids=["three models, one minute", "ten models, five minutes"],
)
def test_idle_models_are_not_written_to_and_then_a_change_is_acted_on_within_five_seconds(
    workplace: Workplace, installed: Path, small: Path, count: int, minutes: int
) -> None:
    settle(workplace, small, count)
    audit_log = installed.parent / "audit.log"
    wait_for(
        lambda: not operators_writes(audit_log, workplace.namespace, time.time() - 15),
        "the operator to come to rest",
        seconds=120,
        explain=lambda: str(operators_writes(audit_log, workplace.namespace, time.time() - 15)),
    )
    since = time.time()
    for number in range(count):  # has every model looked at once more
        kubectl.run(
            "kubectl",
            "annotate",
            "compressedmodel",
            f"idle-{number}",
            "looked=at",
            f"--namespace={workplace.namespace}",
        )
    ended = since + minutes * 60
    wait_for(lambda: time.time() > ended, "the idle time to pass", seconds=minutes * 60 + 30)
    assert operators_writes(audit_log, workplace.namespace, since) == []
    changed = wanted(workplace, FIRST)
    changed["spec"]["suspend"] = True
    before = time.time()
    workplace.apply(changed)
    wait_for(
        lambda: operators_writes(audit_log, workplace.namespace, before),
        "a write after the change",
        seconds=60,
        explain=lambda: workplace.explain(FIRST),
    )
    first, _ = operators_writes(audit_log, workplace.namespace, before)[0]
    assert first - before < 5
    del changed["spec"]["suspend"]
    workplace.apply(changed)


def test_a_model_can_be_deleted_while_no_operator_runs(workplace: Workplace, installed: Path, small: Path) -> None:
    settle(workplace, small, 2)
    scale = ("kubectl", "scale", "--namespace=modelpress-system", "deployment/modelpress")
    kubectl.run(*scale, "--replicas=0")
    try:
        kubectl.run(
            "kubectl", "wait", "--namespace=modelpress-system", "--for=delete", "pods",
            "--selector=app.kubernetes.io/component=operator", "--timeout=120s",
        )  # fmt: skip
        workplace.delete(SECOND)
        wait_for(
            lambda: (
                SECOND not in kubectl.run("kubectl", "get", "all,modelrevisions", "--namespace", workplace.namespace)
            ),
            "everything of the model to be collected",
        )
    finally:
        kubectl.run(*scale, "--replicas=1")
        kubectl.run(
            "kubectl", "rollout", "status", "--namespace=modelpress-system", "deployment/modelpress", "--timeout=180s"
        )
