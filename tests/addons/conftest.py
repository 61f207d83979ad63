"""Fixtures of the tests with add-ons: the cluster has KEDA, Prometheus and a Gateway, and modelpress knows of them."""

from __future__ import annotations

import json
from pathlib import Path

import installation
import kubectl
import pytest
from tests.conftest import ground, one_at_a_time
from tests.e2e.conftest import workplace

__all__ = ["workplace"]

DOMAIN = "example.org"
VALUES = {
    "prometheus": {"address": "http://prometheus.monitoring:9090"},
    "gateway": {"name": "public", "namespace": "projectcontour", "domain": DOMAIN},
}


@pytest.fixture(scope="session")
def cluster() -> Path:
    """The kubeconfig of the local cluster, with the add-ons in it."""
    ground("up", "--addons", "keda,prometheus,gateway")
    return installation.LOCAL_KUBECONFIG


@pytest.fixture(scope="session")
def installed(cluster: Path, images: dict[str, str], store: Path) -> Path:
    """The local cluster's kubeconfig, with the chart of this clone installed with VALUES; tests without add-ons
    install it anew."""
    installation.use(cluster)
    with one_at_a_time():
        installation.install(cluster, *(f"--set-json={name}={json.dumps(value)}" for name, value in VALUES.items()))
        (cluster.parent / "installed-for").unlink(missing_ok=True)
    return cluster


@pytest.fixture(scope="session")
def gateway(installed: Path) -> str:
    """host:port of the Gateway."""
    return f"{kubectl.get('projectcontour', 'service', 'envoy')['spec']['clusterIP']}:80"
