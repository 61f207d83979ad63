"""Alerts, dashboard and autoscalers ask for figures that exist, by labels that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from modelpress.control.metrics import FAMILIES, Metrics
from modelpress.render.serving.autoscaler import pending_query, queue_time_query
from modelpress.triton.metrics import COUNTERS, PENDING

FILES = Path(__file__).parents[3] / "charts" / "modelpress" / "files"
DASHBOARD: dict[str, Any] = json.loads((FILES / "dashboard.json").read_text())
RULES = [rule for group in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
SCRAPED = {"namespace", "modelpress_io_model", "modelpress_io_revision"}
"""Labels that Prometheus adds to what Triton says, by the chart's PodMonitor."""


def ours() -> dict[str, set[str]]:
    """Return the operator's metrics as they are scraped, with their labels."""
    found = {name: set(labels) for name, (_, labels) in FAMILIES.items()}
    for metric in vars(Metrics()).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            name, labels = metric._name, set(metric._labelnames)
            endings = {Counter: ("_total",), Gauge: ("",), Histogram: ("_bucket", "_sum", "_count")}
            extra = {"le"} if isinstance(metric, Histogram) else set()
            found |= {f"{name}{ending}": labels | extra for ending in endings[type(metric)]}
    return found


KNOWN = ours() | dict.fromkeys((*COUNTERS, PENDING), SCRAPED)


def queries() -> Iterator[tuple[str, str]]:
    """Yield every query, with who asks it."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    yield "queueTime", queue_time_query("team-a", "digits-0123456789")
    yield "pendingRequests", pending_query("team-a", "digits-0123456789")


@pytest.mark.parametrize(("who", "query"), list(queries()))
def test_every_figure_that_is_asked_for_exists_with_its_labels(who: str, query: str) -> None:
    names = set(
        re.findall(r"\b(?:modelpress|nv)_\w+", re.sub(r'"[^"]*"|\{[^}]*\}|by \([^)]*\)|on \([^)]*\)', "", query))
    )
    assert names, f"{who} asks for nothing"
    assert names <= set(KNOWN), who
    for name, selector in re.findall(r"\b((?:modelpress|nv)_\w+)\{([^}]*)\}", query):
        asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
        assert asked <= KNOWN[name], f"{who} asks {name} by {asked - KNOWN[name]}"
    grouped = {label for labels in re.findall(r"(?:by|on) \(([^)]*)\)", query) for label in labels.split(", ")}
    assert grouped <= set().union(*(KNOWN[name] for name in names)), who


def test_the_check_above_notices_a_figure_that_does_not_exist() -> None:
    with pytest.raises(AssertionError):
        test_every_figure_that_is_asked_for_exists_with_its_labels("x", "sum(modelpress_model_readiness)")
    with pytest.raises(AssertionError):
        test_every_figure_that_is_asked_for_exists_with_its_labels("x", 'modelpress_leader{namespace="a"}')


def test_every_alert_says_what_happens_and_what_to_do() -> None:
    for rule in RULES:
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["for"]


def test_panels_have_places_of_their_own_and_say_what_they_show() -> None:
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (column, line)
            for column in range(place["x"], place["x"] + place["w"])
            for line in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert panel["type"] == "row" or panel["description"]
