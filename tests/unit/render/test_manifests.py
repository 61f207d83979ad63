"""Names, owners, fields that come and go with the spec, and the same answer to the same question."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from tests.support.rendering import (
    EVERYTHING,
    FULL_INSTALLATION,
    INSTALLATION,
    MINIMAL,
    artifact_of,
    everything_of,
    jobs_of,
    model_of,
    revision_of,
)

from modelpress.api.durations import seconds
from modelpress.render import jobs, serving
from modelpress.render.jobs.job import DEADLINE_MARGIN_SECONDS
from modelpress.render.metadata import NAME_LIMIT, metadata
from modelpress.render.serving.pod_template import GRACE_SECONDS

OPTIONAL = {
    "source.secretName": "models.read",
    "source.assets": "labels.txt",
    "source.kwargs": "width",
    "compression.data.validation": "validation.npz",
    "compression.data.calibration": "calibration.npz",
    "compression.data.calibration.samples": "99",
    "compression.data.train.secretName": "data-read",
    "compression.job.resources": "3500m",
    "compression.job.timeout": "9000",
    "compression.job.scratch": "11Gi",
    "compression.job.nodeSelector": '"pool": "training"',
    "compression.job.tolerations": '"key": "training"',
    "compression.job.serviceAccountName": "trainer",
    "compression.seed": '\\"seed\\":7',
    "evaluation.test.secretName": "test-read",
    "evaluation.latency": "batchSizes",
    "evaluation.gates": "MaxDegradation",
    "artifacts.secretName": "own-write",
    "artifacts.readSecretName": "own-read",
    "serving.batching": '\\"maxBatchSize\\": 16',
    "serving.resources": "1500m",
    "serving.nodeSelector": '"pool": "serving"',
    "serving.tolerations": '"key": "serving"',
    "serving.affinity": "podAntiAffinity",
    "serving.serviceAccountName": '"serviceAccountName": "server"',
    "serving.imagePullSecrets": '"name": "pull"',
}
"""Optional fields, and what of them is seen in the manifests."""


def text_of(spec: dict[str, Any]) -> str:
    return json.dumps(everything_of(model_of(spec)))


@pytest.mark.parametrize("field", OPTIONAL)
def test_a_field_that_leaves_the_spec_leaves_the_cluster(field: str) -> None:
    spec = copy.deepcopy(EVERYTHING)
    parent = spec
    *path, last = field.split(".")
    for part in path:
        parent = parent[part]
    assert OPTIONAL[field] in text_of(spec)
    del parent[last]
    assert OPTIONAL[field] not in text_of(spec)


@pytest.mark.parametrize("spec", [MINIMAL, EVERYTHING])
def test_nothing_is_rendered_as_null_or_empty(spec: dict[str, Any]) -> None:
    def walk(value: Any, path: str) -> None:
        assert value not in (None, "", [], {}) or path.endswith("emptyDir"), path
        for name, part in value.items() if isinstance(value, dict) else ():
            walk(part, f"{path}.{name}")
        for number, part in enumerate(value) if isinstance(value, list) else ():
            walk(part, f"{path}[{number}]")

    for manifest in everything_of(model_of(spec), FULL_INSTALLATION):
        walk(manifest, manifest["kind"])


def test_the_order_of_fields_changes_nothing() -> None:
    def reversed_order(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: reversed_order(value[name]) for name in reversed(value)}
        return [reversed_order(part) for part in value] if isinstance(value, list) else value

    def without_order_of_keys(spec: dict[str, Any]) -> list[dict[str, Any]]:
        return everything_of(model_of(spec), FULL_INSTALLATION)

    assert without_order_of_keys(EVERYTHING) == without_order_of_keys(reversed_order(EVERYTHING))


def test_names_of_the_longest_model_fit() -> None:
    model = model_of(EVERYTHING, name="m" * 40)
    artifact = artifact_of(model)
    late = [
        jobs.resolve_job(model, INSTALLATION, "-12345"),
        jobs.compress_job(model, artifact, 99999, INSTALLATION),
        jobs.evaluate_job(model, artifact, 999, INSTALLATION),
    ]
    names = [manifest["metadata"]["name"] for manifest in [*everything_of(model), *late]]
    assert max(len(name) for name in names) <= NAME_LIMIT
    with pytest.raises(ValueError, match="64 characters"):
        metadata("m" * 64, model)


def test_objects_go_with_what_they_belong_to() -> None:
    for manifest in everything_of(model_of(EVERYTHING)):
        (owner,) = manifest["metadata"]["ownerReferences"]
        of_artifact = manifest["metadata"]["labels"].get("modelpress.io/role") in ("compress", "evaluate")
        assert owner["kind"] == ("ModelArtifact" if of_artifact else "CompressedModel")
        assert owner["uid"] == ("uid-of-the-artifact" if of_artifact else "uid-of-the-model")
        assert owner["controller"] is True
        assert owner["blockOwnerDeletion"] is False
        assert manifest["metadata"]["labels"]["modelpress.io/model"] == "digits"


def test_replicas_are_left_to_whoever_owns_them() -> None:
    model = model_of(EVERYTHING)
    assert "replicas" not in json.dumps(serving.deployment(model, revision_of(model)))


def test_a_revision_keeps_the_pod_template_it_was_made_with() -> None:
    model, later = model_of(MINIMAL), model_of(EVERYTHING)
    revision = revision_of(model)
    assert serving.deployment(later, revision)["spec"]["template"] == revision.spec.pod_template


def test_both_services_lead_to_one_revision_only() -> None:
    model = model_of(EVERYTHING)
    revision = revision_of(model)
    labels = revision.spec.pod_template["metadata"]["labels"]
    for service in (serving.service(model, revision.metadata.name), serving.revision_service(model, revision)):
        selector = service["spec"]["selector"]
        assert selector["modelpress.io/revision"] == revision.metadata.name
        assert selector.items() <= labels.items()
    other = serving.service(model, "digits-cccccccccc")["spec"]["selector"]
    assert not other.items() <= labels.items()


def test_while_a_canary_answers_service_and_budget_are_for_the_serving_pods_of_all_revisions() -> None:
    model = model_of(EVERYTHING)
    labels = revision_of(model).spec.pod_template["metadata"]["labels"]
    service = serving.service(model, None)["spec"]["selector"]
    budget = serving.disruption_budget(model, None)["spec"]["selector"]["matchLabels"]
    for selector in (service, budget):
        assert selector.items() <= {**labels, "modelpress.io/revision": "digits-cccccccccc"}.items()
        assert not selector.items() <= {**labels, "modelpress.io/role": "compress"}.items()


def test_a_job_is_tried_once_and_not_for_ever() -> None:
    for job in jobs_of(model_of(EVERYTHING)):
        assert job["spec"]["backoffLimit"] == 0
        assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert jobs_of(model_of(EVERYTHING))[1]["spec"]["activeDeadlineSeconds"] == seconds("2h") + DEADLINE_MARGIN_SECONDS


@pytest.mark.parametrize("installation", [INSTALLATION, FULL_INSTALLATION])
def test_a_pod_has_time_to_drain(installation: Any) -> None:
    model = model_of(MINIMAL)
    template = serving.pod_template(model, artifact_of(model), "digits-bbbbbbbbbb", installation)
    assert template["spec"]["terminationGracePeriodSeconds"] >= installation.drain_seconds + GRACE_SECONDS


def test_readiness_is_the_agents_and_starting_does_not_wait_for_it() -> None:
    model = model_of(MINIMAL)
    pod = serving.pod_template(model, artifact_of(model), "digits-bbbbbbbbbb", INSTALLATION)["spec"]
    agent, proxy = pod["initContainers"]
    assert (agent["restartPolicy"], proxy["restartPolicy"]) == ("Always", "Always")
    assert agent["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert agent["startupProbe"]["httpGet"]["path"] == "/live"
    assert "ports" not in pod["containers"][0]
    assert not {"readinessProbe", "livenessProbe", "startupProbe"} & pod["containers"][0].keys()
