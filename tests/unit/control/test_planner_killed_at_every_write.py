"""An operator that is killed at any write of a rollout: the next one comes to the same end."""

from __future__ import annotations

import pytest
from tests.support.models import summary
from tests.support.world import World
from tests.unit.control.hard_cases import Watch, at_rest
from tests.unit.control.rollouts import (
    STRATEGIES,
    change,
    reached_by_traffic,
    serving,
    sets,
)

from modelpress.control.plan import Plan


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_operator_that_is_killed_at_any_write_of_a_rollout_comes_to_the_same_end(strategy: str) -> None:
    steps = {"steps": [{"weight": weight, "pause": "10s"} for weight in (20, 50)]}
    shorter = steps if strategy in ("Canary", "Auto") else {}

    def life(killed_at: int) -> tuple[World, int]:
        world = serving(STRATEGIES[strategy] | shorter, 2)
        if strategy != "Recreate":
            Watch(world)
        killing = Killing(world, killed_at)
        change(world, 7)
        world.pass_time(150)
        return world, killing.writes

    undisturbed, writes = life(0)
    assert writes > 15
    for number in range(1, writes + 1):
        world, _ = life(number)
        assert summary(world.status) == summary(undisturbed.status), f"killed at write {number}"
        assert sets(world) == sets(undisturbed) == [world.status["currentRevision"]]
        assert reached_by_traffic(world) == reached_by_traffic(undisturbed)
        at_rest(world)


class Killing:
    """Has the operator die at its n-th write: what its plan asks for besides is not done. 0: it lives."""

    def __init__(self, world: World, killed_at: int) -> None:
        self._world, self._killed_at, self.writes = world, killed_at, 0
        self._carry_out, world.carry_out = world.carry_out, self.carry_out  # type: ignore[method-assign]

    def carry_out(self, made: Plan) -> None:
        for part in single_writes(made):
            before = self._world.fingerprint()
            self._carry_out(part)
            self.writes += self._world.fingerprint() != before
            if self._killed_at and self.writes == self._killed_at:
                self._killed_at = 0
                self._world.restart_operator()
                return


def single_writes(made: Plan) -> list[Plan]:
    """Return a plan for each write of `made`, in the order in which they are made."""
    parts = [("apply", made.apply), ("scale", made.scale), ("delete", made.delete), ("events", made.events)]
    parts.append(("status", made.status))
    return [Plan(**{name: (write,)}) for name, writes in parts for write in writes]
