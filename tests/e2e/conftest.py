"""Fixtures of the end-to-end tests: modelpress installed on the real cluster, and a namespace for each module."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import installation
import kubectl
import pytest
import stores
from tests.conftest import one_at_a_time
from tests.support.workplace import Workplace


@pytest.fixture(scope="session")
def installed(cluster: Path, images: dict[str, str], store: Path, testrun_uid: str) -> Path:
    """The local cluster's kubeconfig, with the chart of this clone installed; kubectl and helm use it.

    The first process of a run that needs it installs it.
    """
    installation.use(cluster)
    installed_for = cluster.parent / "installed-for"
    with one_at_a_time():
        if not installed_for.exists() or installed_for.read_text() != testrun_uid:
            installation.install(cluster)
            installed_for.write_text(testrun_uid)
    return cluster


@pytest.fixture(scope="module")
def workplace(installed: Path, request: pytest.FixtureRequest) -> Iterator[Workplace]:
    """A namespace named after the test module, with the store's Secrets; its deletion is not awaited."""
    name = request.module.__name__.rsplit(".", 1)[-1].removeprefix("test_")
    with namespace(installed, re.sub("[^a-z0-9]+", "-", name)[:40].strip("-")) as found:
        yield found


@contextmanager
def namespace(installed: Path, name: str) -> Iterator[Workplace]:
    """Have a new namespace of that name."""
    found = stores.find(installed)
    kubectl.run("kubectl", "delete", "namespace", name, "--ignore-not-found", "--timeout=180s")  # an earlier run's
    kubectl.ensure_namespace(name)
    for document in found.secrets(name):
        kubectl.apply(document, name)
    yield Workplace(name, found)
    kubectl.run("kubectl", "delete", "namespace", name, "--wait=false")
