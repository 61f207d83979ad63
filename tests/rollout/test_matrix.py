"""Every strategy in every hard case, on the real cluster and under load: how it ends, and what clients met.

`make test-rollout` runs it, cases side by side. What is measured is kept, see table.py. The same cases, and more of
them, are tried in memory by tests/unit/control/test_planner_hard_cases.py.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.e2e import rollouts
from tests.e2e.rollouts import NAME
from tests.rollout import changes, faults, table
from tests.rollout.changes import Case
from tests.rollout.faults import Fault
from tests.rollout.stage import Stage
from tests.rollout.table import CaseRow
from tests.support.workplace import Workplace

pytestmark = pytest.mark.timeout(1500)


def named(part: object) -> str:
    return getattr(part, "__name__", str(part))


def words(case: object) -> str:
    return named(case).replace("_", " ")


@pytest.mark.parametrize(("strategy", "case"), changes.CASES, ids=named)
async def test_it_ends_at_the_version_that_is_asked_for(served: Workplace, strategy: str, case: Case) -> None:
    await ends_at_the_version_that_is_asked_for(served, strategy, case)


async def ends_at_the_version_that_is_asked_for(served: Workplace, strategy: str, case: Case) -> None:
    stage = Stage(served, strategy, f"{strategy}-{case.__name__}"[:63])
    async with stage:
        interrupts = stage.interrupts
        await stage.half_way()
        stage.happens()
        version = await case(stage)
        await stage.ends_at(version)
    failed, last = stage.failures, stage.last_answer_but_of(version)
    table.add(CaseRow(strategy, words(case), "", stage.requests, len(failed), stage.seconds, last))
    assert interrupts or not failed, failed[:3]


@pytest.mark.parametrize(("strategy", "fault"), faults.FAULTS, ids=named)
async def test_it_goes_back_by_itself(served: Workplace, strategy: str, fault: Fault) -> None:
    await goes_back_by_itself(served, strategy, fault)


async def goes_back_by_itself(served: Workplace, strategy: str, fault: Fault) -> float | None:
    """Return the seconds from the fault to the last request that the candidate answered, or failed; None: none."""
    stage = Stage(served, strategy, f"{strategy}-{fault.__name__}"[:63])
    async with stage:
        reason = await stage.goes_back(await fault(stage))
    last, failed = stage.last_answer_but_of(stage.first), stage.failures
    table.add(CaseRow(strategy, words(fault), reason, stage.requests, len(failed), stage.seconds, last))
    told = await asyncio.to_thread(rollouts.rejected, served, stage.candidate)
    assert told["reason"] == reason
    assert any(given == reason for given, _ in await asyncio.to_thread(served.events, NAME))
    assert fault in faults.HURTS or stage.interrupts or not failed, failed[:3]
    assert (strategy == "Canary" and fault in faults.ASKED) or last is None, "it never had a request"
    return last
