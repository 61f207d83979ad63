"""The chart and what is rendered for models, before a real API server: it knows every field, rights suffice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.integration.chart.conftest import OPERATOR, apply, helm
from tests.support.apiserver import ApiServer
from tests.support.rendering import (
    EVERYTHING,
    FULL_INSTALLATION,
    INSTALLATION,
    MINIMAL,
    artifact_of,
    autoscalers_of,
    everything_of,
    model_of,
    revision_of,
)

from modelpress.api.base import API_VERSION
from modelpress.api.resources import CompressedModel, ModelArtifact, ModelRevision
from modelpress.render.metadata import metadata


def record(model: CompressedModel, made: ModelArtifact | ModelRevision) -> dict[str, Any]:
    """The artifact or revision as the operator creates it."""
    identity = {"apiVersion": API_VERSION, "kind": type(made).__name__, "metadata": metadata(made.metadata.name, model)}
    return {**identity, "spec": made.spec.to_wire()}


@pytest.mark.parametrize("case", ["minimal", "everything"])
def test_every_rendered_object_is_accepted_from_the_operator_itself(server: ApiServer, case: str) -> None:
    spec, installation = {"minimal": (MINIMAL, INSTALLATION), "everything": (EVERYTHING, FULL_INSTALLATION)}[case]
    model = model_of(spec)
    artifact, revision = artifact_of(model, installation), revision_of(model, installation)
    records = [record(model, artifact), record(model, revision)]
    apply(server, [*everything_of(model, installation), *records], "--dry-run=server", f"--as={OPERATOR}")


def test_every_autoscaler_is_accepted_from_the_operator_itself(server: ApiServer, repository: Path) -> None:
    keda = str(repository / "tests" / "support" / "keda" / "scaledobjects.yaml")
    assert server.kubectl("apply", "--server-side", "--filename", keda).returncode == 0
    server.kubectl("wait", "--for=condition=Established", "crd/scaledobjects.keda.sh", "--timeout=60s")
    for manifest in autoscalers_of():
        apply(server, [manifest], "--dry-run=server", f"--as={OPERATOR}")
    assert server.kubectl("delete", "--filename", keda).returncode == 0


def test_a_field_that_leaves_the_spec_leaves_the_server(server: ApiServer) -> None:
    def deployment(spec: dict[str, Any]) -> Any:
        model = model_of(spec)
        found = next(one for one in everything_of(model) if one["kind"] == "Deployment")
        apply(server, [found], f"--as={OPERATOR}")
        name = found["metadata"]["name"]
        shown = server.kubectl("get", "deployment", name, "--namespace=team-a", "--output=json")
        return json.loads(shown.stdout)["spec"]["template"]["spec"]

    before = deployment(EVERYTHING)
    fields = ("nodeSelector", "tolerations", "affinity", "imagePullSecrets")
    assert all(field in before for field in fields)
    without = {**EVERYTHING, "serving": {"replicas": 3}}
    after = deployment(without)
    assert not [field for field in fields if field in after]
    assert (before["serviceAccountName"], after["serviceAccountName"]) == ("server", "default")
    assert "limits" not in after["containers"][0]["resources"]


@pytest.mark.parametrize("what", ["secrets", "serviceaccounts", "namespaces", "nodes"])
def test_the_operator_may_not_read(server: ApiServer, what: str) -> None:
    refused = server.kubectl("get", what, "--all-namespaces", f"--as={OPERATOR}")
    assert "forbidden" in refused.stderr


def test_the_notes_tell_the_next_commands(notes: str) -> None:
    assert "helm test modelpress --namespace modelpress-system" in notes
    assert "kubectl create secret generic artifacts-write" in notes
    assert "kubectl apply" in notes


def test_models_outlive_the_chart(server: ApiServer, repository: Path) -> None:
    model = {"apiVersion": API_VERSION, "kind": "CompressedModel", "metadata": {"name": "kept", "namespace": "team-a"}}
    apply(server, [{**model, "spec": MINIMAL}])
    helm(server, "uninstall", "modelpress")
    assert server.kubectl("get", "compressedmodel", "kept", "--namespace=team-a").returncode == 0
    assert server.kubectl("get", "deployment", "modelpress", "--namespace=modelpress-system").returncode != 0
    helm(server, "install", "modelpress", str(repository / "charts" / "modelpress"))
    assert server.kubectl("delete", "compressedmodel", "kept", "--namespace=team-a", "--wait").returncode == 0
