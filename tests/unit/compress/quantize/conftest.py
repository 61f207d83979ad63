"""Quantizing the small model, and how far its answers move."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.quantize.sentences import sentences, write
from tests.unit.compress.sources import samples_of

from modelpress.api.stages import Quantize
from modelpress.compress import graph
from modelpress.compress.models import GraphModel
from modelpress.compress.stages import quantize
from modelpress.compress.stages.context import Context

Press = Callable[..., tuple[GraphModel, Context]]


@pytest.fixture
def original(tmp_path: Path) -> GraphModel:
    return write(tmp_path / "in")


@pytest.fixture
def press(original: GraphModel, make_context: MakeContext, tmp_path: Path) -> Press:
    """Quantize the small model by the fields of the stage; return the result and the context of the stage."""

    def work(model: GraphModel | None = None, **fields: Any) -> tuple[GraphModel, Context]:
        context = make_context({"calibration": samples_of(sentences())})
        context.scratch = tmp_path / f"stage-{len(list(tmp_path.iterdir()))}"
        context.scratch.mkdir()
        return quantize.run(model or original, Quantize.model_validate(fields), context), context

    return work


def answers(model: GraphModel, level: Any = graph.NONE) -> np.ndarray[Any, Any]:
    """Return what the model answers to sentences that calibrated nothing."""
    return np.asarray(graph.run(graph.open_session(model.path, level), sentences(100, seed=2))["answer"])


def loss(before: GraphModel, after: GraphModel) -> float:
    """Return ‖y' - y‖² / ‖y‖² on sentences that calibrated nothing."""
    wanted = answers(before)
    return float(((answers(after) - wanted) ** 2).sum() / (wanted**2).sum())
