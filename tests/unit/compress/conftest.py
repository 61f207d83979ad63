"""One core for torch, and surroundings for a stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from tests.support.exporter import one_table

from modelpress.api.objective import Objective
from modelpress.compress.datasets import Samples
from modelpress.compress.stages.context import Context

__all__ = ["one_table"]

MakeContext = Callable[..., Context]


@pytest.fixture(autouse=True, scope="session")
def one_core() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_context(tmp_path: Path) -> MakeContext:
    """Make a context out of samples by role and a loss."""

    def make(
        samples: Mapping[str, Samples] | None = None, loss: str | None = None, output: str | None = None
    ) -> Context:
        return Context(
            samples=(samples or {}).get,
            seed=0,
            scratch=tmp_path,
            source=tmp_path,
            objective=Objective.model_validate({"loss": loss, "output": output}) if loss else None,
        )

    return make
