from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.servingpod import Pod
from tests.support.tritonserver import TritonServer, installed

from modelpress.api.servingpod import ServedModel
from modelpress.api.tasks import AgentTask

from .small_models import publish

MakePod = Callable[..., Pod]


@pytest.fixture(scope="session")
def triton() -> TritonServer:
    """Real Triton, in the user's cache."""
    return installed()


@pytest.fixture(scope="session")
def make_pod(triton: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakePod]:
    """Make a pod that holds the given models; its processes end with the session."""
    made: list[Pod] = []

    def make(*models: ServedModel, drain_seconds: float = 20.0) -> Pod:
        task = AgentTask(backend="python", drain_seconds=drain_seconds, threads=1)
        made.append(Pod(tmp_path_factory.mktemp("pod"), triton, list(models), task))
        return made[-1]

    yield make
    for pod in made:
        pod.kill_all()


@pytest.fixture(scope="session")
def artifact_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that is a folder."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def pod(make_pod: MakePod, artifact_store: Path) -> Pod:
    """A pod that serves. A test that breaks it awaits that it serves again."""
    found = make_pod(publish(artifact_store))
    found.start()
    found.await_ready()
    return found
