"""What fault tests share with integration tests: an API server that serves the three resources with any content."""

from pathlib import Path

import pytest
from tests.integration.control.conftest import served_kinds
from tests.support.apiserver import ApiServer

__all__ = ["served_kinds"]


@pytest.fixture(scope="session")
def product_server(api_server: ApiServer, repository: Path) -> ApiServer:
    """The API server with the product's own resources."""
    done = api_server.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(repository / "crds"))
    assert done.returncode == 0, done.stderr
    done = api_server.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    assert done.returncode == 0, done.stderr
    return api_server
