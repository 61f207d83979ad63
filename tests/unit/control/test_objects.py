"""The store: newer wins, a LIST replaces, and nothing that is gone comes back."""

from __future__ import annotations

import asyncio
from typing import Any

from modelpress.api.names import MODEL_LABEL
from modelpress.control.kinds import MODEL, kind_by_plural
from modelpress.control.objects import Key, Objects
from modelpress.control.plan import Reference

KEY = Key("team", "digits")
CONFIG_MAPS = kind_by_plural("", "configmaps")
assert CONFIG_MAPS is not None


def config_map(name: str, version: int, model: str | None = "digits", namespace: str = "team") -> dict[str, Any]:
    labels = {MODEL_LABEL: model} if model else {}
    metadata = {"name": name, "namespace": namespace, "resourceVersion": str(version), "labels": labels, "uid": name}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def a_model(version: int) -> dict[str, Any]:
    metadata = {"name": "digits", "namespace": "team", "resourceVersion": str(version), "uid": "m"}
    return {"apiVersion": MODEL.api_version, "kind": MODEL.kind, "metadata": metadata}


def names(objects: Objects) -> list[str]:
    return [child["metadata"]["name"] for child in objects.family(KEY)[1]]


def test_an_older_version_never_replaces_a_newer_one() -> None:
    objects = Objects()
    assert objects.put(config_map("a", 1000)) == {KEY}
    assert objects.put(config_map("a", 999)) == set()
    assert objects.get(Reference.of(config_map("a", 1))) == config_map("a", 1000)


def test_versions_are_numbers_and_not_text() -> None:
    objects = Objects()
    objects.put(config_map("a", 9))
    assert objects.put(config_map("a", 10)) == {KEY}


def test_a_late_event_does_not_raise_the_dead() -> None:
    objects = Objects()
    objects.put(config_map("a", 5))
    assert objects.drop(config_map("a", 7)) == {KEY}
    assert objects.put(config_map("a", 6)) == set()
    assert names(objects) == []
    assert objects.put(config_map("a", 8)) == {KEY}


def test_an_old_deletion_does_not_take_a_successor() -> None:
    objects = Objects()
    objects.put(config_map("a", 9))
    assert objects.drop(config_map("a", 7)) == set()
    assert names(objects) == ["a"]


def test_a_list_discards_what_it_does_not_name_and_keeps_what_is_newer_than_itself() -> None:
    objects = Objects()
    for name, version in (("gone", 5), ("stays", 6), ("newer", 30)):
        objects.put(config_map(name, version))
    assert objects.replace(CONFIG_MAPS, None, [config_map("stays", 6), config_map("new", 12)], 20) == {KEY}
    assert names(objects) == ["new", "newer", "stays"]
    assert objects.put(config_map("gone", 19)) == set(), "an event from before the LIST"


def test_a_list_of_one_namespace_leaves_the_others_alone() -> None:
    objects = Objects(("team", "other"))
    objects.put(config_map("a", 1, namespace="other"))
    objects.replace(CONFIG_MAPS, "team", [], 10)
    assert objects.get(Reference("v1", "ConfigMap", "other", "a")) is not None


def test_first_lists_are_missed_until_each_has_come() -> None:
    objects = Objects(("x", "y"), kinds=(CONFIG_MAPS,))
    objects.replace(CONFIG_MAPS, "x", [], 1)
    assert objects.missing_lists() == ["configmaps in y"]
    objects.replace(CONFIG_MAPS, "y", [], 1)
    assert objects.missing_lists() == []


def test_an_object_that_changes_its_label_changes_families() -> None:
    objects = Objects()
    objects.put(config_map("a", 1))
    assert objects.put(config_map("a", 2, model="other")) == {KEY, Key("team", "other")}
    assert names(objects) == []


def test_a_family_is_the_model_and_its_children_in_a_fixed_order() -> None:
    objects = Objects()
    objects.put(config_map("b", 1))
    objects.put(a_model(2))
    objects.put(config_map("a", 3))
    objects.put(config_map("nobodys", 4, model=None))
    assert objects.family(KEY)[0] == a_model(2)
    assert names(objects) == ["a", "b"]
    assert objects.models() == [KEY]


async def test_waiting_for_a_version_ends_when_it_comes_or_the_object_is_gone() -> None:
    objects = Objects()
    objects.put(config_map("a", 1))
    reference = Reference.of(config_map("a", 1))
    assert not await objects.wait_seen(reference, 2, 0.01)
    waiting = asyncio.create_task(objects.wait_seen(reference, 2, 30))
    await asyncio.sleep(0)
    objects.put(config_map("a", 3))
    assert await waiting
    waiting = asyncio.create_task(objects.wait_seen(reference, 4, 30))
    await asyncio.sleep(0)
    objects.drop(config_map("a", 5))
    assert await waiting


def test_what_is_gone_is_told_however_it_went() -> None:
    objects, told = Objects(), []
    objects.on_gone = lambda manifest: told.append(manifest["metadata"]["name"])
    for name in ("by-event", "by-list", "by-word"):
        objects.put(config_map(name, 1))
    objects.drop(config_map("by-event", 2))
    objects.discard(Reference("v1", "ConfigMap", "team", "by-word"), 2)
    objects.replace(CONFIG_MAPS, None, [], 3)
    assert told == ["by-event", "by-word", "by-list"]
