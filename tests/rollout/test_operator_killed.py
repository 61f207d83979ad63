"""The operator is killed half way through a rollout by each strategy: apart from the matrix, which all of it needs."""

from __future__ import annotations

import pytest
from tests.rollout.changes import the_operator_killed
from tests.rollout.stage import STRATEGIES
from tests.rollout.test_matrix import ends_at_the_version_that_is_asked_for
from tests.support.workplace import Workplace

pytestmark = pytest.mark.timeout(1500)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_an_operator_that_is_killed_goes_on_where_it_was(served: Workplace, strategy: str) -> None:
    await ends_at_the_version_that_is_asked_for(served, strategy, the_operator_killed)
