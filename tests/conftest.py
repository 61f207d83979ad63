"""Fixtures that every kind of test may use. What they give is started once per test session and taken down whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from tests.support.apiserver import ApiServer, running_api_server

_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the clone."""
    return _ROOT


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real kube-apiserver with its etcd and nothing else; `api_server.kubeconfig` is the administrator's."""
    with running_api_server(tmp_path_factory.mktemp("apiserver")) as server:
        yield server


@pytest.fixture(scope="session")
def cluster() -> Path:
    """The kubeconfig of the local cluster, which `make cluster` started; brought up again if a part of it died."""
    ground("up")
    return _ROOT / ".cluster" / "kubeconfig"


@pytest.fixture(scope="session")
def images(cluster: Path) -> dict[str, str]:
    """The names of our images on the node: operator, compressor, triton. `make images` built them."""
    ground("images")
    lines = (_ROOT / ".cluster" / "images.env").read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {name.removesuffix("_IMAGE").lower(): image for name, image in pairs}


@pytest.fixture(scope="session")
def store(cluster: Path) -> Path:
    """The kubeconfig of the local cluster, with the S3 store running in it."""
    ground("store")
    return cluster


def one_at_a_time() -> FileLock:
    """A lock that all processes of a test run share: `with one_at_a_time(): …`."""
    return FileLock(_ROOT / ".venv" / "tests.lock")


def ground(*command: str) -> None:
    """Have `cluster.py` do what `command` says; the test fails with its words if it cannot."""
    argv = [sys.executable, str(_ROOT / "tests/cluster/cluster.py"), *command]
    with one_at_a_time():
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"the local cluster's `{command[0]}` failed:\n{done.stdout}\n{done.stderr}", pytrace=False)
