"""Fights over a field, told from changes of mind."""

from __future__ import annotations

from typing import Any

from modelpress.control.compare import Difference
from modelpress.control.reversions import FIRST_REST, MEMORY, Reversions

PATH = ("f:data", "f:value")
FOUND = [Difference(PATH, "Value", "ours", "theirs")]


def wish(value: str = "ours") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "n"},
        "data": {"value": value},
    }


def live() -> dict[str, Any]:
    entry = {"manager": "their-controller", "operation": "Update", "fieldsV1": {"f:data": {"f:value": {}}}}
    return wish("theirs") | {"metadata": {"name": "a", "namespace": "n", "uid": "u", "managedFields": [entry]}}


def revert(reversions: Reversions, now: float, wanted: dict[str, Any] | None = None) -> bool:
    """Meet the field reverted at `now`; write it again unless that is a conflict. Return whether it is."""
    problem = reversions.meet(wanted or wish(), live(), FOUND, now)
    if problem is None:
        reversions.applied(wanted or wish(), "u")
    return problem is not None


def test_the_third_reversion_is_a_conflict_that_names_field_and_rival() -> None:
    reversions = Reversions()
    reversions.applied(wish(), "u")
    assert not revert(reversions, 0)
    assert not revert(reversions, 1)
    problem = reversions.meet(wish(), live(), FOUND, 2)
    assert problem is not None
    assert problem.reason == "FieldConflict"
    assert problem.message.startswith("their-controller keeps changing data.value of ConfigMap n/a back")
    assert reversions.resting("u", 2 + FIRST_REST - 1) is not None
    assert reversions.resting("u", 2 + FIRST_REST) is None


def test_after_each_rest_there_is_one_try_and_the_next_rest_is_longer() -> None:
    reversions = Reversions()
    reversions.applied(wish(), "u")
    for now in (0, 1, 2):
        revert(reversions, now)
    after = 2 + FIRST_REST
    assert not revert(reversions, after), "one try"
    assert revert(reversions, after + 1)
    assert reversions.rest("u", after + 1) == 2 * FIRST_REST


def test_reversions_long_apart_are_no_fight() -> None:
    reversions = Reversions()
    reversions.applied(wish(), "u")
    assert not any(revert(reversions, number * MEMORY) for number in range(10))


def test_our_own_changes_of_mind_are_no_reversions() -> None:
    reversions = Reversions()
    assert not any(revert(reversions, number, wish(f"value-{number}")) for number in range(10))


def test_a_change_of_mind_starts_the_count_anew() -> None:
    reversions = Reversions()
    reversions.applied(wish(), "u")
    assert not any(revert(reversions, now) for now in (0, 1))
    assert not revert(reversions, 2, wish("something else"))
