"""Show the models and what happens to them, live, until all are Ready."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import kubectl
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text


class NotReadyError(Exception):
    """A model did not become Ready; the message is its own sentence."""


@dataclass(frozen=True)
class ModelState:
    """What `kubectl get cmodel` would say of one model."""

    name: str
    ready: str
    reason: str
    message: str
    stalled: bool
    status: dict[str, Any]

    @classmethod
    def of(cls, model: dict[str, Any]) -> ModelState:
        """Read the state out of a CompressedModel."""
        status = model.get("status", {})
        conditions = {condition["type"]: condition for condition in status.get("conditions", [])}
        ready = conditions.get("Ready", {})
        current = status.get("observedGeneration") == model["metadata"]["generation"]
        return cls(
            name=model["metadata"]["name"],
            ready=ready.get("status", "Unknown") if current else "Unknown",
            reason=ready.get("reason", ""),
            message=ready.get("message", ""),
            stalled=current and conditions.get("Stalled", {}).get("status") == "True",
            status=status,
        )


def until_ready(namespace: str, names: list[str], console: Console, timeout: float = 900.0) -> list[ModelState]:
    """Return the models' states once all are Ready; raise NotReadyError if one stalls or `timeout` seconds pass."""
    started = time.monotonic()
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        while True:
            found = kubectl.get(namespace, "compressedmodels", *names)
            states = [ModelState.of(model) for model in found.get("items", [found])]
            seconds = time.monotonic() - started
            live.update(_screen(states, _events(namespace), seconds))
            if all(state.ready == "True" for state in states):
                return states
            if stalled := next((state for state in states if state.stalled), None):
                raise NotReadyError(f"{stalled.name} is stalled ({stalled.reason}): {stalled.message}")
            if seconds > timeout:
                raise NotReadyError("; ".join(f"{state.name}: {state.reason}, {state.message}" for state in states))
            time.sleep(1)


def _events(namespace: str, newest: int = 8) -> list[dict[str, Any]]:
    events = kubectl.get(namespace, "events", "--field-selector", "involvedObject.kind=CompressedModel")["items"]
    return sorted(events, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))[-newest:]


def _screen(states: list[ModelState], events: list[dict[str, Any]], seconds: float) -> Group:
    models = Table(title=f"kubectl get cmodel   ({seconds:.0f} s)", title_justify="left", box=None, pad_edge=False)
    for column in ("NAME", "READY", "REVISION", "RATIO", "ACCURACY", "NOW"):
        models.add_column(column)
    for state in states:
        compression = state.status.get("compression", {})
        now = state.status.get("progress", {}).get("message") or state.message
        models.add_row(
            state.name,
            Text(state.ready, style={"True": "green", "False": "yellow"}.get(state.ready, "")),
            state.status.get("currentRevision", ""),
            compression.get("ratioText", ""),
            compression.get("accuracyText", ""),
            f"{state.reason}: {now}" if now else state.reason,
        )
    story = Table(title="events", title_justify="left", box=None, pad_edge=False, show_header=False)
    for event in events:
        style = "red" if event["type"] == "Warning" else ""
        story.add_row(event["involvedObject"]["name"], Text(event["reason"], style=style), event["message"])
    return Group(models, Text(), story, Text())
