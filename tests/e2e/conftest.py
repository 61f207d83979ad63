"""Fixtures of the end-to-end tests: modelpress installed on the real cluster, and a namespace for each module."""

from __future__ import annotations

import re
from collections.abc import Iterator

import kubectl
import pytest
import store
from support.workplace import Workplace


@pytest.fixture(scope="module")
def workplace(installed: None, request: pytest.FixtureRequest) -> Iterator[Workplace]:
    """A namespace named after the test module, with the store's Secrets; deleted afterwards."""
    name = re.sub("[^a-z0-9]+", "-", request.module.__name__.rsplit(".", 1)[-1].removeprefix("test_"))[:40].strip("-")
    kubectl.ensure_namespace(name)
    for document in store.secrets(name):
        kubectl.apply(document, name)
    yield Workplace(name)
    kubectl.run("kubectl", "delete", "namespace", name, "--wait=true", "--timeout=120s")
