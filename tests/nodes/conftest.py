"""Fixtures of the tests with two nodes: the cluster has both, modelpress is installed as for end-to-end tests."""

from __future__ import annotations

from pathlib import Path

import installation
import pytest
from tests.conftest import ground
from tests.e2e.conftest import installed, workplace

__all__ = ["installed", "workplace"]


@pytest.fixture(scope="session")
def cluster() -> Path:
    """The kubeconfig of the local cluster, with a second node in it."""
    ground("up", "--nodes", "2")
    return installation.LOCAL_KUBECONFIG
