"""The CRDs on a real API server."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.apiserver import ApiServer


@pytest.fixture(scope="session")
def server(api_server: ApiServer, repository: Path) -> ApiServer:
    """The API server with our CRDs established."""
    applied = api_server.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(repository / "crds"))
    assert applied.returncode == 0, applied.stderr
    names = [f"crd/{kind}.modelpress.io" for kind in ("compressedmodels", "modelartifacts", "modelrevisions")]
    waited = api_server.kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)
    assert waited.returncode == 0, waited.stderr
    return api_server
