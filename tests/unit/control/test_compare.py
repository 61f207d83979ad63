"""Comparing wish, cluster and record of ownership. Objects and records are as a 1.34 API server shows them."""

from __future__ import annotations

from typing import Any

import pytest

from modelpress.control.compare import applied_fields, differences, dotted, means_same
from modelpress.control.echoes import Echoes

FIELDS: dict[str, Any] = {
    "f:metadata": {"f:labels": {"f:app": {}}},
    "f:spec": {
        "f:hostNetwork": {},
        "f:nodeSelector": {},
        "f:containers": {
            'k:{"name":"main"}': {
                ".": {},
                "f:name": {},
                "f:image": {},
                "f:args": {},
                "f:resources": {"f:requests": {"f:cpu": {}, "f:memory": {}}},
                "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}, "f:name": {}}},
            }
        },
        "f:finalizers": {'v:"a"': {}},
    },
}


def wanted() -> dict[str, Any]:
    container = {
        "name": "main",
        "image": "i",
        "args": ["-v"],
        "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}},
        "ports": [{"containerPort": 80, "name": "http"}],
    }
    spec = {"hostNetwork": False, "nodeSelector": {"disk": "fast"}, "containers": [container], "finalizers": ["a"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n", "labels": {"app": "x"}},
        "spec": spec,
    }


def live() -> dict[str, Any]:
    """The same object as the server shows it: normalised, with defaults, and with what others added."""
    shown = wanted()
    del shown["spec"]["hostNetwork"]
    container = shown["spec"]["containers"][0]
    container["resources"] = {"requests": {"cpu": "1", "memory": "1Gi"}}
    container["ports"] = [{"containerPort": 80, "name": "http", "protocol": "TCP"}]
    container["terminationMessagePolicy"] = "File"
    shown["spec"]["containers"].append({"name": "injected", "image": "mesh"})
    shown["metadata"]["labels"]["theirs"] = "1"
    shown["spec"]["finalizers"].append("b")
    return shown


def found(wish: dict[str, Any], shown: dict[str, Any], fields: dict[str, Any] = FIELDS) -> list[tuple[str, str]]:
    return [(difference.kind, str(difference)) for difference in differences(wish, shown, fields)]


def test_what_the_server_normalised_or_added_is_no_difference() -> None:
    assert found(wanted(), live()) == []


def test_another_value_is_a_difference() -> None:
    shown = live()
    shown["spec"]["containers"][0]["image"] = "other"
    assert found(wanted(), shown) == [("Value", "spec.containers[name=main].image")]


def test_a_field_no_longer_wanted_is_a_leftover_as_long_as_it_is_recorded_as_ours() -> None:
    wish = wanted()
    del wish["spec"]["containers"][0]["ports"]
    del wish["metadata"]["labels"]
    assert found(wish, live()) == [("Leftover", "metadata.labels"), ("Leftover", "spec.containers[name=main].ports")]


def test_a_wanted_field_that_is_not_recorded_as_ours_is_a_difference_even_if_it_has_the_value() -> None:
    wish = wanted()
    wish["metadata"]["labels"]["theirs"] = "1"
    assert found(wish, live()) == [("Unowned", "metadata.labels.theirs")]


def test_a_new_list_element_and_a_dropped_one_are_differences() -> None:
    wish = wanted()
    wish["spec"]["containers"][0]["ports"] = [{"containerPort": 81, "name": "http"}]
    kinds = sorted(kind for kind, _ in found(wish, live()))
    assert kinds == ["Leftover", "Unowned"]


def test_a_key_dropped_from_an_atomic_map_is_a_difference() -> None:
    shown = live()
    shown["spec"]["nodeSelector"] = {"disk": "fast", "zone": "a"}
    assert found(wanted(), shown) == [("Value", "spec.nodeSelector")]


def test_a_map_that_somebody_took_over_whole_is_reported_field_by_field() -> None:
    fields = {name: below for name, below in FIELDS.items() if name != "f:metadata"}
    assert found(wanted(), live(), fields) == [("Unowned", "metadata.labels.app")]


@pytest.mark.parametrize(
    ("one", "other", "path", "same"),
    [
        ("0.5", "500m", ("f:limits", "f:cpu"), True),
        (1, "1", ("f:requests", "f:example.com/gpu"), True),
        ("1Gi", "1G", ("f:requests", "f:memory"), False),
        ("1", "1000m", ("f:labels", "f:cpu"), False),
        (80, "80", ("f:targetPort",), False),
        (1, True, ("f:x",), False),
        ("", None, ("f:x",), True),
        ({}, None, ("f:x",), True),
        (None, "set", ("f:x",), False),
        ("2048Mi", "2Gi", ("f:emptyDir", "f:sizeLimit"), True),
    ],
)
def test_values_mean_the_same_only_where_that_is_certain(
    one: Any, other: Any, path: tuple[str, ...], same: bool
) -> None:
    assert means_same(one, other, path) is same


def test_only_what_this_manager_applied_counts_as_ours() -> None:
    entries = [
        {"manager": "modelpress", "operation": "Update", "fieldsV1": {"f:a": {}}},
        {"manager": "modelpress", "operation": "Apply", "subresource": "scale", "fieldsV1": {"f:b": {}}},
        {"manager": "other", "operation": "Apply", "fieldsV1": {"f:c": {}}},
    ]
    shown = {"metadata": {"managedFields": entries}}
    assert applied_fields(shown, "modelpress") is None
    entries.append({"manager": "modelpress", "operation": "Apply", "fieldsV1": {"f:d": {}}})
    assert applied_fields(shown, "modelpress") == {"f:d": {}}


def test_paths_read_as_people_write_them() -> None:
    assert dotted(("f:spec", "f:ports", 'k:{"port":80}', "f:name")) == "spec.ports[port=80].name"


def test_an_echo_of_our_own_write_is_no_difference_but_any_other_is() -> None:
    echoes, shown = Echoes(), live()
    shown["spec"]["nodeSelector"] = {"disk": "fast", "defaulted": "1"}
    echoes.learn("uid", differences(wanted(), shown, FIELDS))
    assert echoes.unknown("uid", differences(wanted(), shown, FIELDS)) == []
    shown["spec"]["nodeSelector"]["more"] = "1"
    assert echoes.unknown("uid", differences(wanted(), shown, FIELDS)) != []
