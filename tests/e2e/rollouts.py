"""What the tests of rollouts share: one small model in versions that can be told apart, and clients that ask for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import kubectl
import numpy as np
from tests.support import lookup, reading
from tests.support.load import Load, Question
from tests.support.waves import Waves
from tests.support.workplace import Workplace, sparing, wait_for

from modelpress.api.names import MODEL_LABEL, REVISION_LABEL, ROLE_LABEL, ROLE_SERVE

NAME = "lookup"
FIRST, SECOND, THIRD, SHORT = "first", "second", "third", "short"
"""Versions of the source: SHORT lacks the rows from ASKED_IN_TESTS on."""
TABLES = {
    FIRST: lookup.table(1),
    SECOND: lookup.table(2),
    THIRD: lookup.table(4),
    SHORT: lookup.table(3, lookup.ASKED_IN_TESTS),
}
EVERY_VERSION_KNOWS, SHORT_LACKS = 2, 6
"""Rows to ask for."""
AT_ONCE: Mapping[str, Any] = {"strategy": "BlueGreen", "scaleDownDelay": "0s"}


def upload(workplace: Workplace, folder: Path) -> None:
    """Put all versions into the store."""
    for name, rows in TABLES.items():
        lookup.write(folder / name, rows)
        workplace.put(folder / name, name)


def wanted(workplace: Workplace, version: str, rollout: Mapping[str, Any] = AT_ONCE, **serving: Any) -> dict[str, Any]:
    """Return the model in one of its versions."""
    root = f"{workplace.namespace}/{version}"
    test = {"uri": f"s3://data/{root}/test.npz", "secretName": "models-read"}
    return sparing(
        {
            "apiVersion": "modelpress.io/v1alpha1",
            "kind": "CompressedModel",
            "metadata": {"name": NAME, "namespace": workplace.namespace},
            "spec": {
                "source": {"uri": f"s3://models/{root}/", "format": "onnx", "secretName": "models-read"},
                "compression": {"stages": []},
                "evaluation": {"test": test, "metrics": [{"name": "top1", "type": "accuracy"}]},
                "serving": {"batching": {"maxBatchSize": 8}, **serving},
                "rollout": dict(rollout),
            },
        }
    )


def question(row: int) -> Question:
    """Return the question for one row, with the answer of each version that has it."""
    accepted = {name: {"scores": rows[row : row + 1]} for name, rows in TABLES.items() if row < len(rows)}
    return Question(NAME, {"index": np.array([[row]])}, accepted)


def _addresses(workplace: Workplace) -> dict[str, str]:
    return {"http": workplace.service_address(NAME, 8000), "grpc": workplace.service_address(NAME, 8001)}


def waves(workplace: Workplace, row: int = EVERY_VERSION_KNOWS) -> Waves:
    """Return clients that come and go and ask for `row`."""
    return Waves(question(row), **_addresses(workplace))


def keepers(workplace: Workplace, row: int = EVERY_VERSION_KNOWS, connections: int = 8) -> Load:
    """Return clients that keep their connections, so many of each protocol, and ask for `row`."""
    return Load(question(row), **_addresses(workplace), connections=connections, interval=0.5)


def rollout_of(workplace: Workplace) -> dict[str, Any]:
    """Return `status.rollout` while it speaks of the present spec; empty if there is none."""
    model = workplace.model(NAME)
    fresh = model["status"].get("observedGeneration") == model["metadata"]["generation"]
    found: dict[str, Any] = (model["status"].get("rollout") or {}) if fresh else {}
    return found


def await_rollout(workplace: Workplace, met: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
    """Return `status.rollout` once it is such that `met`."""
    return wait_for(
        lambda: found if met(found := rollout_of(workplace)) else None,
        what,
        explain=lambda: workplace.explain(NAME) + str(rollout_of(workplace)),
    )


def current(workplace: Workplace) -> str:
    """Return the revision that serves."""
    return str(workplace.model(NAME)["status"]["currentRevision"])


def pods(workplace: Workplace, revision: str, *, leaving: bool = True) -> set[str]:
    """Return the names of a revision's serving pods, those on their way out included unless `leaving` is False."""
    selector = f"{MODEL_LABEL}={NAME},{ROLE_LABEL}={ROLE_SERVE},{REVISION_LABEL}={revision}"
    found = [item["metadata"] for item in reading.pods(workplace.namespace, selector)]
    return {item["name"] for item in found if leaving or "deletionTimestamp" not in item}


def a_pod(workplace: Workplace, revision: str) -> dict[str, Any]:
    """Return a pod of a revision that is there to stay, once there is one."""
    selector = f"{MODEL_LABEL}={NAME},{ROLE_LABEL}={ROLE_SERVE},{REVISION_LABEL}={revision}"

    def look() -> dict[str, Any] | None:
        found = kubectl.get(workplace.namespace, "pods", "--selector", selector)["items"]
        return next((pod for pod in found if "deletionTimestamp" not in pod["metadata"]), None)

    return wait_for(look, f"a pod of {revision}", explain=lambda: workplace.explain(NAME))


def await_gone(workplace: Workplace, revision: str) -> None:
    """Return when no pod of a revision is left."""
    wait_for(lambda: not pods(workplace, revision), f"no pod of {revision}", explain=lambda: workplace.explain(NAME))


def rejected(workplace: Workplace, revision: str) -> dict[str, Any]:
    """Return the rejection of a revision; empty if it was not rejected."""
    found: dict[str, Any] = kubectl.get(workplace.namespace, "modelrevision", revision).get("status", {})
    return found.get("rejected") or {}


def command(workplace: Workplace, *words: str) -> str:
    """Run `modelpress rollout …` in the namespace and return what it printed."""
    program = Path(sys.executable).with_name("modelpress")
    line = [str(program), "rollout", "--namespace", workplace.namespace, *words]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
