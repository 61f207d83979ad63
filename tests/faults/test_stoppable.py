"""The harness itself: an operator whose kill is due at a write that it makes while it stops."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.faults.stoppable import Stop, StoppableOperator
from tests.support.servingpod import wait_until

from modelpress.control import operator
from modelpress.control.seam import Seam


@pytest.fixture
def stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[StoppableOperator, Path]:
    """An operator that makes one write, when it is told to stop; and the file that appears once it may be told."""
    runs = tmp_path / "runs"

    async def run(_settings: Any, _planner: Any, _installation: Any, seam: Seam) -> int:
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        runs.touch()
        await stopped.wait()
        await seam.before_write("the last one")
        await seam.after_write("the last one")
        return 0

    monkeypatch.setattr(operator, "run", run)
    settings: Any = None
    return StoppableOperator(settings, None, None, tmp_path / "log"), runs


def test_a_kill_that_comes_while_it_stops_is_told_from_an_end_as_told(
    stopping: tuple[StoppableOperator, Path],
) -> None:
    process, runs = stopping
    process.start(Stop("before", 1))
    wait_until(runs.exists, "the operator")
    assert not process.end()
    runs.unlink()
    process.start()
    wait_until(runs.exists, "the operator, once more")
    assert process.end()
    assert process.end(), "nothing is left to end"


def test_a_kill_that_is_due_later_leaves_an_operator_that_ends_as_told(
    stopping: tuple[StoppableOperator, Path],
) -> None:
    process, runs = stopping
    process.start(Stop("after", 2))
    wait_until(runs.exists, "the operator")
    assert process.end()
