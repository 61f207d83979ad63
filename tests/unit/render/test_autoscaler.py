"""Autoscalers: as KEDA's own schema wants them, and no more pods asked for than meant."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.support.rendering import MINIMAL, autoscalers_of, model_of, revision_of

KEDA = Path(__file__).parents[2] / "support" / "keda" / "scaledobjects.yaml"


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a CRD's schema as one that refuses unknown fields, as the API server's strict validation does."""
    found = copy.copy(schema)
    if "properties" in schema:
        found["properties"] = {name: strict(field) for name, field in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            found["additionalProperties"] = False
    if "items" in schema:
        found["items"] = strict(schema["items"])
    return found


SCHEMA = strict(yaml.safe_load(KEDA.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
SCHEMA["properties"]["metadata"] = {"type": "object"}
SCALED_OBJECTS = [item for item in autoscalers_of() if item["kind"] == "ScaledObject"]


@pytest.mark.parametrize("manifest", SCALED_OBJECTS, ids=lambda item: item["spec"]["triggers"][0]["name"])
def test_keda_knows_every_field(manifest: dict[str, Any]) -> None:
    jsonschema.validate(manifest, SCHEMA)


def test_the_schema_refuses_what_keda_does_not_know() -> None:
    spoiled = copy.deepcopy(SCALED_OBJECTS[0])
    spoiled["spec"]["minReplicas"] = 1
    with pytest.raises(jsonschema.ValidationError, match="minReplicas"):
        jsonschema.validate(spoiled, SCHEMA)


def triggers(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {trigger["name"]: trigger for trigger in manifest["spec"]["triggers"]}


def test_a_mean_is_compared_as_it_is_and_a_sum_is_shared_out() -> None:
    by_name = {name: trigger for item in SCALED_OBJECTS for name, trigger in triggers(item).items()}
    assert by_name["queue-time"]["metricType"] == "Value"
    assert by_name["queue-time"]["metadata"]["threshold"] == "20", "milliseconds, as the query has them"
    assert by_name["pending-requests"]["metricType"] == "AverageValue"
    assert by_name["pending-requests"]["metadata"]["threshold"] == "4"


def test_a_prometheus_without_figures_is_an_error_only_where_there_must_be_a_pod() -> None:
    awake, asleep = SCALED_OBJECTS[2], SCALED_OBJECTS[3]
    assert triggers(awake)["pending-requests"]["metadata"]["ignoreNullValues"] == "false"
    assert triggers(asleep)["pending-requests"]["metadata"]["ignoreNullValues"] == "true"
    assert triggers(asleep)["activation"]["metadata"]["query"] == "sum(rate(asked[1m]))"


def test_cpu_is_that_of_a_container_that_requests_some() -> None:
    hpa, keda, *_ = autoscalers_of()
    (metric,) = hpa["spec"]["metrics"]
    container = metric["containerResource"]["container"]
    template = revision_of(model_of(MINIMAL)).spec.pod_template
    (found,) = [item for item in template["spec"]["containers"] if item["name"] == container]
    assert "cpu" in found["resources"]["requests"]
    assert triggers(keda)["cpu"]["metadata"]["containerName"] == container


def test_every_metadata_of_a_trigger_is_a_string() -> None:
    settings = [trigger["metadata"] for item in SCALED_OBJECTS for trigger in triggers(item).values()]
    assert all(isinstance(value, str) for setting in settings for value in setting.values())
