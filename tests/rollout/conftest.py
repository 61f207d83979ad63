"""What the matrix shares with the end-to-end tests, and its own: a namespace for each process that tries cases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e import rollouts
from tests.e2e.conftest import installed, namespace
from tests.e2e.rollouts import AT_ONCE, FIRST, NAME, wanted
from tests.rollout import bad_versions
from tests.support.workplace import Workplace

__all__ = ["installed"]


@pytest.fixture(scope="session")
def workplace(installed: Path, worker_id: str) -> Iterator[Workplace]:
    """A namespace named after the process, so that cases can be tried side by side."""
    with namespace(installed, f"rollout-{worker_id}") as found:
        yield found


@pytest.fixture(scope="session")
def served(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The first version, Ready; all others are in the store."""
    folder = tmp_path_factory.mktemp(NAME)
    rollouts.upload(workplace, folder)
    bad_versions.upload(workplace, folder)
    workplace.apply(wanted(workplace, FIRST, AT_ONCE))
    workplace.await_ready(NAME, seconds=600)
    return workplace
