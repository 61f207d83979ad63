"""What a change of the spec does, and what it leaves alone, while the old version serves on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubectl
import numpy as np
import pytest
from tests.e2e.bad_inputs import BadInput, manifest, write_good
from tests.support.workplace import Workplace, sparing, wait_for

NAME = "changing"
ROW = {"row": np.zeros((1, 4), dtype=np.float32)}


@pytest.fixture(scope="module")
def served(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A small model that is Ready."""
    folder = tmp_path_factory.mktemp(NAME)
    write_good(folder)
    workplace.put(folder, NAME)
    workplace.apply(wanted(workplace))
    workplace.await_ready(NAME, seconds=600)
    return workplace


def wanted(workplace: Workplace, **spec: object) -> dict[str, Any]:
    """The small model, with `spec` replacing parts of its spec."""
    found = manifest(BadInput(NAME, "", ""), workplace.namespace)
    found["spec"] |= spec
    return sparing(found)


def revisions(workplace: Workplace) -> set[str]:
    """Names of the model's revisions."""
    found = kubectl.get(workplace.namespace, "modelrevisions")["items"]
    return {item["metadata"]["name"] for item in found}


def artifacts(workplace: Workplace) -> set[str]:
    """Names of the model's artifacts."""
    return {item["metadata"]["name"] for item in kubectl.get(workplace.namespace, "modelartifacts")["items"]}


def test_a_change_of_batching_makes_a_revision_and_compresses_nothing_and_a_return_reuses_the_first(
    served: Workplace,
) -> None:
    first, compressed = served.model(NAME)["status"]["currentRevision"], artifacts(served)
    served.apply(wanted(served, serving={"batching": {"maxBatchSize": 4}}))
    second = served.await_ready(NAME)["currentRevision"]
    assert second != first
    assert artifacts(served) == compressed
    served.ask(NAME, ROW, ["scores"])
    served.apply(wanted(served))
    assert served.await_ready(NAME)["currentRevision"] == first
    assert revisions(served) == {first, second}


def test_replicas_scale_without_a_new_revision(served: Workplace) -> None:
    before = revisions(served)
    kubectl.run("kubectl", "scale", "--namespace", served.namespace, f"compressedmodel/{NAME}", "--replicas=2")
    wait_for(
        lambda: served.model(NAME)["status"].get("readyReplicas") == 2,
        "two ready replicas",
        explain=lambda: served.explain(NAME),
    )
    served.apply(wanted(served))
    served.await_ready(NAME)
    assert revisions(served) == before


def test_a_version_that_fails_its_gate_is_refused_and_the_old_one_serves_on(served: Workplace, tmp_path: Path) -> None:
    serving = served.model(NAME)["status"]["currentRevision"]
    broken = wanted(served, compression={"stages": [{"quantize": {"preset": "INT8_DYNAMIC"}}]})
    broken["spec"]["evaluation"]["gates"] = [{"metric": "top1", "goal": "Threshold", "value": 0.999}]
    served.apply(broken)
    condition = served.await_condition(NAME, "Ready", "False", "GateFailed")
    assert "top1" in condition["message"]
    assert served.conditions(NAME)["Available"]["status"] == "True"
    assert served.model(NAME)["status"]["currentRevision"] == serving
    served.ask(NAME, ROW, ["scores"])
    served.apply(wanted(served))
    served.await_ready(NAME)


def test_suspended_starts_nothing_and_serves_on(served: Workplace) -> None:
    served.apply(wanted(served, suspend=True, serving={"batching": {"maxBatchSize": 2}}))
    served.await_condition(NAME, "Ready", "False", "Suspended")
    before = revisions(served)
    served.ask(NAME, ROW, ["scores"])
    assert revisions(served) == before
    served.apply(wanted(served))
    served.await_ready(NAME)


def test_an_optional_field_that_is_removed_from_the_spec_leaves_the_cluster(served: Workplace) -> None:
    served.apply(wanted(served, serving={"nodeSelector": {"kubernetes.io/os": "linux"}}))
    name = served.await_ready(NAME)["currentRevision"]
    pod = kubectl.get(served.namespace, "deployment", name)["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    served.apply(wanted(served))
    name = served.await_ready(NAME)["currentRevision"]
    assert "nodeSelector" not in kubectl.get(served.namespace, "deployment", name)["spec"]["template"]["spec"]


def test_strangers_may_not_load_or_unload(served: Workplace) -> None:
    import json
    import urllib.error
    import urllib.request

    address = served.service_address(NAME, 8000)
    for path in (f"v2/repository/models/{NAME}/unload", "v2/repository/index", "v2/systemsharedmemory/status"):
        request = urllib.request.Request(f"http://{address}/{path}", data=json.dumps({}).encode(), method="POST")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert refused.value.code in (403, 404), path
    served.ask(NAME, ROW, ["scores"])
