"""Searches on a real API server: a budget that the pod's time has room for, and nothing beside them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.integration.api.specs import SPEC, model
from tests.support.apiserver import ApiServer

STAGES = SPEC["compression"]["stages"]


def refusal(server: ApiServer, **compression: Any) -> str:
    """Apply a search, `compression` being what else is said; return the message of the refusal, or nothing."""
    common = {name: part for name, part in SPEC["compression"].items() if name != "stages"}
    spec = {**SPEC, "compression": common | {"auto": {"objective": "Size"}} | compression}
    done = server.kubectl("apply", "-f", "-", "--dry-run=server", stdin=json.dumps(model("search", spec)))
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize(
    "compression",
    [
        {},
        {"auto": {"objective": "Latency", "maxTrials": 40, "maxTime": "59m"}},
        {"auto": {"objective": "Size", "maxTime": "2h"}, "job": {"timeout": "2h30m"}},
    ],
)
def test_a_search_is_accepted_if_its_pod_has_the_time(server: ApiServer, compression: dict[str, Any]) -> None:
    assert refusal(server, **compression) == ""


@pytest.mark.parametrize(
    ("compression", "message"),
    [
        ({"stages": STAGES}, "compression has exactly one of stages, ladder, auto"),
        ({"ladder": [{"stages": STAGES}]}, "compression has exactly one of stages, ladder, auto"),
        ({"auto": {}}, "spec.compression.auto.objective: Required value"),
        ({"auto": {"objective": "Accuracy"}}, 'supported values: "Latency", "Size"'),
        ({"auto": {"objective": "Size", "maxTrials": 0}}, "should be greater than or equal to 1"),
        ({"auto": {"objective": "Size", "maxTime": "1h"}}, "auto.maxTime must be shorter than job.timeout"),
        ({"job": {"timeout": "5m"}}, "auto.maxTime must be shorter than job.timeout"),
    ],
)
def test_a_search_that_cannot_be_is_refused(server: ApiServer, compression: dict[str, Any], message: str) -> None:
    assert message in refusal(server, **compression)
