"""SIGKILL after each write of the product's own planner, from a new model to a changed one that serves: the same end.

A kill before a write leaves the cluster as one after the write before it does. (The test of the machinery beside this
one makes both all the same.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.faults.hands import hands
from tests.faults.life import Life, play
from tests.faults.stoppable import Stop
from tests.support.apiserver import ApiServer

ROLLOUTS: dict[str, dict[str, Any]] = {
    "BlueGreen": {"strategy": "BlueGreen"},
    "Canary": {"strategy": "Canary", "steps": [{"weight": 50, "pause": "1s"}]},
}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("strategy", [pytest.param("BlueGreen", marks=pytest.mark.long), "Canary"])
@pytest.mark.parametrize("after", ["objects", pytest.param("everything", marks=pytest.mark.long)])
def test_a_kill_after_each_write_leads_to_the_same_end(
    product_server: ApiServer, tmp_path: Path, after: str, strategy: str
) -> None:
    """`objects` leaves out statuses and Events, which every round computes anew; `everything` takes minutes."""
    with hands(product_server.kubeconfig) as connected:
        undisturbed = Life(product_server, connected, tmp_path, ROLLOUTS[strategy])
        play([undisturbed.live(None)])
        writes = dict(enumerate(undisturbed.writes(), 1))
        if after == "objects":
            writes = {number: write for number, write in writes.items() if not write.endswith(("/status", "/events"))}
        assert len(writes) >= 15, writes
        lives = {number: Life(product_server, connected, tmp_path, ROLLOUTS[strategy]) for number in writes}
        play([life.live(Stop("after", number)) for number, life in lives.items()])
        for number, life in lives.items():
            assert life.end_state == undisturbed.end_state, f"killed after {writes[number]}"
