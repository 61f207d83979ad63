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


OWNERS = {"compress": "ModelArtifact", "evaluate": "ModelArtifact", "ask": "ModelRevision"}
"""Owners by role; everything else belongs to the model."""


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
        jobs.ask_job(model, artifact, revision_of(model), 99999, INSTALLATION),
    ]
    names = [manifest["metadata"]["name"] for manifest in [*everything_of(model), *late]]
    assert max(len(name) for name in names) <= NAME_LIMIT
    with pytest.raises(ValueError, match="64 characters"):
        metadata("m" * 64, model)


def test_objects_go_with_what_they_belong_to() -> None:
    for manifest in everything_of(model_of(EVERYTHING)):
        (owner,) = manifest["metadata"]["ownerReferences"]
        role = manifest["metadata"]["labels"].get("modelpress.io/role")
        kind = OWNERS.get(role, "CompressedModel")
        uids = {"ModelArtifact": "artifact", "ModelRevision": "revision", "CompressedModel": "model"}
        assert (owner["kind"], owner["uid"]) == (kind, f"uid-of-the-{uids[kind]}")
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


def test_a_pod_that_is_verified_is_behind_no_service_that_leads_to_requests() -> None:
    model = model_of(EVERYTHING)
    revision = revision_of(model)
    config_map, policy, own, deployment = serving.verification_set(model, revision)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    services = [serving.service(model, revision.metadata.name), serving.service(model, None)]
    for service in (*services, serving.revision_service(model, revision)):
        assert not service["spec"]["selector"].items() <= labels.items()
    assert own["spec"]["selector"].items() <= labels.items()
    assert not serving.network_policy(model)["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    ask = jobs.ask_job(model, artifact_of(model), revision, 1, INSTALLATION)["spec"]["template"]
    (rule,) = policy["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": rule["from"][0]["podSelector"]["matchLabels"]}}]
    assert rule["from"][0]["podSelector"]["matchLabels"].items() <= ask["metadata"]["labels"].items()
    assert [port["port"] for port in rule["ports"]] == [8001]
    assert config_map["data"] == serving.config_map(model, revision)["data"]


def test_a_pod_that_is_verified_is_what_serves_later_but_for_its_role() -> None:
    model = model_of(EVERYTHING)
    revision = revision_of(model)
    *_, deployment = serving.verification_set(model, revision)
    template, kept = deployment["spec"]["template"], revision.spec.pod_template
    for field in ("initContainers", "containers", "serviceAccountName", "nodeSelector", "tolerations"):
        assert template["spec"][field] == kept["spec"][field]
    assert template["metadata"]["annotations"] == kept["metadata"]["annotations"]


def test_a_revision_is_asked_where_and_by_the_number_that_it_has_in_pods_of_another_one() -> None:
    model = model_of(EVERYTHING)
    job = jobs.ask_job(
        model, artifact_of(model), revision_of(model), 1, INSTALLATION, service="digits-cccccccccc", version=99
    )
    told = json.loads(job["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"])
    assert told["address"].startswith("digits-cccccccccc.")
    assert (told["model"], told["version"]) == (model.metadata.name, 99)


def test_who_asks_has_no_credentials_and_no_identity() -> None:
    model = model_of(EVERYTHING)
    pod = jobs.ask_job(model, artifact_of(model), revision_of(model), 1, INSTALLATION)["spec"]["template"]["spec"]
    fetch, ask = pod["initContainers"][0], pod["containers"][0]
    assert pod["automountServiceAccountToken"] is False
    assert [mount["mountPath"] for mount in ask["volumeMounts"]] == ["/tmp", "/work/out", "/work/test"]
    assert all(mount.get("readOnly") for mount in ask["volumeMounts"][1:])
    assert any("secrets/test-read" in mount["mountPath"] for mount in fetch["volumeMounts"])
    assert "secret" not in json.dumps(ask).lower()


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
