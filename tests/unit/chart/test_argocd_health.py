"""The health that Argo CD shows, by its own language: Lua 5.1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lupa import lua51

READY, STALLED = ("Ready", "True"), ("Stalled", "True")


def health(repository: Path, model: dict[str, Any]) -> tuple[str, str]:
    lua = lua51.LuaRuntime()
    lua.globals()["obj"] = lua.table_from(model, recursive=True)
    script = repository / "charts" / "modelpress" / "files" / "argocd-health.lua"
    found = lua.execute(script.read_text(encoding="utf-8"))
    return found["status"], found["message"]


def model(*conditions: tuple[str, str], reason: str = "Serving", **more: Any) -> dict[str, Any]:
    status = {
        "observedGeneration": more.pop("observed", 3),
        "conditions": [
            {"type": name, "status": value, "reason": reason, "message": f"{name} is {value}"}
            for name, value in conditions
        ],
    }
    return {"metadata": {"generation": 3, **more.pop("metadata", {})}, "spec": more.pop("spec", {}), "status": status}


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        (model(READY), "Healthy"),
        (model(("Ready", "False"), ("Reconciling", "True"), reason="Compressing"), "Progressing"),
        (model(("Ready", "False"), STALLED, reason="GateFailed"), "Degraded"),
        (model(("Ready", "False"), reason="Suspended"), "Suspended"),
        (model(("Ready", "False"), reason="Paused"), "Suspended"),
        (model(READY, spec={"suspend": True}), "Suspended"),
        (model(("Ready", "Unknown"), observed=0, reason="New"), "Progressing"),
        (model(READY, observed=2), "Progressing"),
        (model(READY, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), "Progressing"),
        ({"metadata": {"generation": 1}, "spec": {}}, "Progressing"),
    ],
)
def test_health_follows_the_conditions(repository: Path, seen: dict[str, Any], wanted: str) -> None:
    assert health(repository, seen)[0] == wanted


def test_the_message_says_what_is_wrong(repository: Path) -> None:
    assert health(repository, model(("Ready", "False"), STALLED))[1] == "Stalled is True"
