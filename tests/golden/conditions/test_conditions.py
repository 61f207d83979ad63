"""The table of conditions: what each says in every state, what kstatus makes of that, and that the docs say the same.

`UPDATE_GOLDEN=1 pytest tests/golden/conditions` writes table.yaml anew; read the difference before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.golden.conditions.states import STATES
from tests.support.models import condition, summary

from modelpress.api.crd.conditions_page import STATES as DOCUMENTED
from modelpress.control.conditions import TYPES

TABLE = Path(__file__).parent / "table.yaml"
LETTERS = {"True": "T", "False": "F", "Unknown": "?"}
EXAMPLES = {
    "new version on its way": ("new version on its way: compressing", "new version on its way: starting"),
}
"""States of the docs that are several in the table."""
UNTOUCHED = "new, not looked at"


def kstatus(model: dict[str, Any]) -> str:
    """Return what sigs.k8s.io/cli-utils' kstatus says of a custom resource (its rules, in its order)."""
    status = model.get("status") or {}
    if "deletionTimestamp" in model["metadata"]:
        return "Terminating"
    if status.get("observedGeneration", model["metadata"]["generation"]) != model["metadata"]["generation"]:
        return "InProgress"
    for item in status.get("conditions", ()):
        if item["type"] == "Reconciling" and item["status"] == "True":
            return "InProgress"
        if item["type"] == "Stalled" and item["status"] == "True":
            return "Failed"
    ready = [item["status"] for item in status.get("conditions", ()) if item["type"] == "Ready"]
    return "Current" if not ready or ready[0] == "True" else "InProgress"


def row(name: str) -> dict[str, str]:
    """Return the row of the table for a state, as the planner makes it now."""
    world = STATES[name]()
    return {**summary(world.status), "kstatus": kstatus(world.model)}


def table() -> dict[str, dict[str, str]]:
    """Return the table as it is committed."""
    found: dict[str, dict[str, str]] = yaml.safe_load(TABLE.read_text())
    return found


@pytest.mark.parametrize("name", STATES)
def test_each_state_says_what_the_table_says(name: str) -> None:
    found = row(name)
    if os.environ.get("UPDATE_GOLDEN"):
        rows = {**(table() if TABLE.exists() else {}), name: found}
        rows = {state: rows[state] for state in STATES if state in rows}
        TABLE.write_text(yaml.safe_dump(rows, sort_keys=False, width=120))
    assert found == table()[name]


def test_the_table_holds_every_state_and_no_other() -> None:
    assert list(table()) == list(STATES)


@pytest.mark.parametrize("name", table() if TABLE.exists() else ())
def test_each_row_means_one_thing_to_people_and_machines(name: str) -> None:
    cells = table()[name]
    holds = {kind: cells[kind].startswith("True/") for kind in TYPES}
    assert not (holds["Reconciling"] and holds["Stalled"])
    assert not (holds["Ready"] and (holds["Reconciling"] or holds["Stalled"]))
    assert (cells["kstatus"] == "Current") == holds["Ready"]
    assert (cells["kstatus"] == "Failed") == holds["Stalled"]


@pytest.mark.parametrize(
    "documented", [entry for entry in DOCUMENTED if entry[0] != UNTOUCHED], ids=lambda entry: entry[0]
)
def test_the_docs_say_the_same(documented: tuple[str, str, str]) -> None:
    name, reason, letters = documented
    for state in EXAMPLES.get(name, (name,)):
        cells = table()[state]
        shown = "".join(LETTERS[cells[kind].split("/")[0]] for kind in TYPES)
        assert all(wanted in ("=", found) for wanted, found in zip(letters, shown, strict=True)), (
            f"{shown} is not {letters}"
        )
        if " " not in reason:
            assert cells["Ready"].split("/")[1] == reason


def test_an_untouched_resource_is_in_progress_to_everybody(repository: Path) -> None:
    crd = yaml.safe_load((repository / "crds" / "compressedmodels.yaml").read_text())
    default = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["default"]
    assert condition(default, "Ready")["status"] == "Unknown"
    assert kstatus({"metadata": {"generation": 1}, "status": default}) == "InProgress"
