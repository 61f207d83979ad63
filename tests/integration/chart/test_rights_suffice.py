"""The operator itself, running with the chart's rights and settings and no others."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.chart.conftest import OPERATOR, apply
from tests.support.apiserver import ApiServer
from tests.support.rendering import MINIMAL

PATIENCE = 120.0


@pytest.fixture
def log(server: ApiServer, repository: Path, tmp_path: Path) -> Iterator[Path]:
    """The log of an operator that runs as the chart's service account, with the chart's installation.yaml."""
    get = ("get", "configmap", "modelpress", "--namespace=modelpress-system", "--output=json")
    settings = tmp_path / "installation.yaml"
    settings.write_text(json.loads(server.kubectl(*get).stdout)["data"]["installation.yaml"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from modelpress.cli.main import main; main()", "operator"]
    command += ["--namespace=modelpress-system", f"--installation={settings}", f"--http-port={port}"]
    command += [f"--kubeconfig={server.kubeconfig_for(OPERATOR)}", "--log-level=debug"]
    environment = os.environ | {"PYTHONPATH": str(repository / "operator")}
    file = tmp_path / "operator.log"
    with file.open("w") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        yield file
        process.terminate()


def until(found: Callable[[], Any], log: Path) -> Any:
    """What `found` returns once that is true."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.3)
    return pytest.fail(f"not within {PATIENCE} s; the operator says:\n{log.read_text()[-4000:]}", pytrace=False)


def test_the_charts_rights_suffice_for_the_operators_work(server: ApiServer, log: Path) -> None:
    model = {"apiVersion": "modelpress.io/v1alpha1", "kind": "CompressedModel"}
    spec = MINIMAL | {"artifacts": {"uri": "s3://artifacts"}}
    apply(server, [{**model, "metadata": {"name": "rights", "namespace": "team-a"}, "spec": spec}])

    def shown(kind: str, *more: str) -> list[dict[str, Any]]:
        answer = server.kubectl("get", kind, "--namespace=team-a", "--output=json", *more)
        return list(json.loads(answer.stdout)["items"])

    until(lambda: shown("jobs", "--selector=modelpress.io/model=rights"), log)
    until(lambda: shown("networkpolicies", "--selector=modelpress.io/model=rights"), log)
    until(lambda: [one for one in shown("compressedmodels") if one["status"].get("observedGeneration")], log)
    assert "orbidden" not in log.read_text()
