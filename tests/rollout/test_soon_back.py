"""How long a bad candidate goes on answering: seconds, which a machine must have to itself."""

from __future__ import annotations

import pytest
from tests.rollout.faults import IN_SECONDS, Fault
from tests.rollout.test_matrix import goes_back_by_itself, named
from tests.support.workplace import Workplace

READING_SECONDS, ALLOWED_SECONDS = 5, 5
"""The operator reads counters once in the one; beyond that, so long may a bad candidate answer."""

pytestmark = pytest.mark.timeout(1500)


@pytest.mark.parametrize("fault", IN_SECONDS, ids=named)
async def test_the_last_answer_of_a_bad_candidate_comes_within_a_reading_and_five_seconds(
    served: Workplace, fault: Fault
) -> None:
    last = await goes_back_by_itself(served, "Canary", fault)
    assert last is None or last <= READING_SECONDS + ALLOWED_SECONDS
