"""Helm, for real, and an API server with the chart in it."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.apiserver import ApiServer

from localcluster.programs import program

OPERATOR = "system:serviceaccount:modelpress-system:modelpress"
Template = Callable[..., list[dict[str, Any]]]


class HelmRefusedError(Exception):
    """What helm said instead of manifests."""


@pytest.fixture(scope="session")
def helm_template(repository: Path) -> Template:
    """Render the chart: `helm_template({values})` returns its manifests, or raises HelmRefusedError."""
    helm, chart = program("helm"), repository / "charts" / "modelpress"

    @functools.cache
    def render(values: str, *arguments: str) -> str:
        command = [helm, "template", "modelpress", chart, "--namespace=modelpress-system", "--values=-", *arguments]
        done = subprocess.run(command, input=values, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HelmRefusedError(done.stderr)
        return done.stdout

    def manifests(values: dict[str, Any] | None = None, *arguments: str) -> list[dict[str, Any]]:
        documents = yaml.load_all(render(json.dumps(values or {}), *arguments), Loader=yaml.CSafeLoader)
        return [document for document in documents if document]

    return manifests


@pytest.fixture(scope="session")
def server(api_server: ApiServer, notes: str) -> ApiServer:
    """The API server with the chart in it, and a tenant's namespace."""
    assert notes
    for kind in ("compressedmodels", "modelartifacts", "modelrevisions"):
        api_server.kubectl("wait", "--for=condition=Established", f"crd/{kind}.modelpress.io", "--timeout=60s")
    apply(api_server, [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}}])
    return api_server


@pytest.fixture(scope="session")
def notes(api_server: ApiServer, repository: Path) -> str:
    """What helm says when it has installed the chart. Definitions that other tests have put there become its own."""
    values = "artifacts.uri=s3://artifacts,artifacts.secretName=artifacts-write"
    chart = str(repository / "charts" / "modelpress")
    return helm(api_server, "install", "modelpress", chart, "--create-namespace", "--take-ownership", f"--set={values}")


def helm(server: ApiServer, *arguments: str) -> str:
    command = [program("helm"), *arguments, f"--kubeconfig={server.kubeconfig}", "--namespace=modelpress-system"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def apply(server: ApiServer, manifests: list[dict[str, Any]], *arguments: str) -> None:
    """Apply as the operator does, by server-side apply; an unknown field is an error."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    options = ("--server-side", "--validate=strict", "--field-manager=modelpress", "--force-conflicts")
    done = server.kubectl("apply", *options, *arguments, "--filename=-", stdin=text)
    assert done.returncode == 0, done.stderr
