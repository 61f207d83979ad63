"""What the API server itself refuses of sources, rollouts, serving and names, and that its message names the field."""

from __future__ import annotations

import pytest
from tests.integration.api.refusing import NAME, apply, refusal
from tests.integration.api.specs import SPEC, artifact, model, revision, spec_with
from tests.support.apiserver import ApiServer

REFUSED = {
    "unknown field": ("serving.replica", 3, 'unknown field "spec.serving.replica"'),
    "torch without entrypoint": (
        "source.entrypoint",
        None,
        "spec.source: Invalid value: format torch needs source.entryp",
    ),
    "torch without trust": ("source.trustCode", None, "set source.trustCode to true"),
    "torch without a shape": ("source.inputs", [{"name": "image"}], "format torch needs source.inputs"),
    "onnx with an entrypoint": ("source.format", "onnx", "only format torch takes source.entrypoint"),
    "transformers without a task": (
        "source",
        {"uri": "s3://models/minilm/", "format": "transformers"},
        "format transformers needs source.task",
    ),
    "torch with a task": ("source.task", "CausalLM", "no other format takes one"),
    "unknown format": ("source.format", "tensorflow", 'spec.source.format: Unsupported value: "tensorflow"'),
    "an address that is none": ("source.uri", "models/digits", "spec.source.uri"),
    "axis of no length": ("source.inputs.0.shape", ["batch", 0], "spec.source.inputs[0].shape[1]"),
    "batch in the middle": (
        "source.inputs.0.shape",
        [1, "batch", 8],
        "spec.source.inputs[0]: Invalid value: the axis batch comes first in shape",
    ),
    "two outputs of one name": (
        "source.outputs",
        [{"name": "logits"}, {"name": "logits"}],
        "each of source.outputs needs a name of its own",
    ),
    "an interval too short": (
        "update.interval",
        "9s",
        "spec.update: Invalid value: update.interval must be at least 10s",
    ),
    "a duration that is none": ("update.interval", "5 minutes", "spec.update.interval"),
    "steps without a canary": (
        "rollout",
        {"strategy": "BlueGreen", "steps": [{"weight": 10}]},
        "rollout.steps belongs to strategies Canary and Auto",
    ),
    "requests that no step judges": (
        "rollout",
        {"strategy": "InPlace", "analysis": {"maxErrorRate": 0.1, "disagreement": {"max": 0.1}}},
        "of rollout.analysis, only disagreement and onInconclusive belong to other strategies than Canary and Auto",
    ),
    "a deadline too short": ("rollout.progressDeadline", "9s", "rollout.progressDeadline must be at least 10s"),
    "a pause of years": (
        "rollout.steps",
        [{"weight": 10, "pause": "9000h"}],
        "a pause in rollout.steps must be at most 168h",
    ),
    "a weight beyond the half": ("rollout.steps", [{"weight": 51}], "a weight above 50 in rollout.steps needs"),
    "a weight beyond all": ("rollout.steps", [{"weight": 101}], "spec.rollout.steps[0].weight"),
    "a query without bounds": (
        "rollout.analysis",
        {"queries": [{"name": "memory", "query": "x"}]},
        "a query in rollout.analysis needs max or min",
    ),
    "a query with a placeholder that nobody fills": (
        "rollout.analysis",
        {"queries": [{"name": "memory", "query": 'x{pod="{{pod}}"}', "max": 1}]},
        "spec.rollout.analysis.queries[0].query",
    ),
    "two queries of one name": (
        "rollout.analysis",
        {"queries": [{"name": "memory", "query": "x", "max": 1}, {"name": "memory", "query": "y", "min": 1}]},
        'spec.rollout.analysis.queries[1]: Duplicate value: {"name":"memory"}',
    ),
    "an action on nothing": ("rollout.action", {"do": "Promote"}, "spec.rollout.action.revision"),
    "replicas below zero": ("serving.replicas", -1, "spec.serving.replicas"),
    "a quantity that is none": ("serving.resources.requests.memory", "much", "spec.serving.resources.requests.memory"),
}


def test_a_spec_in_order_is_accepted(server: ApiServer) -> None:
    assert apply(server, model(NAME, SPEC), "--dry-run=server") == ""


def test_two_revisions_are_compared_on_test_data_alone(server: ApiServer) -> None:
    spec = spec_with("rollout", {"analysis": {"disagreement": {"max": 0.02, "compare": "Cosine", "atLeast": 0.99}}})
    assert apply(server, model(NAME, spec), "--dry-run=server") == ""
    for strategy in ("BlueGreen", "InPlace", "Recreate"):
        analysis = {"disagreement": {"max": 0.02}, "onInconclusive": "Pause"}
        asked = spec_with("rollout", {"strategy": strategy, "analysis": analysis})
        assert apply(server, model(NAME, asked), "--dry-run=server") == ""
    del spec["evaluation"]
    refusal = apply(server, model(NAME, spec), "--dry-run=server")
    assert "rollout.analysis.disagreement needs evaluation.test" in refusal


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_with_a_message_that_names_the_field(server: ApiServer, case: str) -> None:
    path, value, message = REFUSED[case]
    assert message in refusal(server, path, value)


@pytest.mark.parametrize("name", ["a" * 41, "1digits", "digits.v1"])
def test_a_name_that_no_service_can_have_is_refused(server: ApiServer, name: str) -> None:
    assert "metadata.name must be at most 40 characters" in apply(server, model(name, SPEC), "--dry-run=server")


def test_a_name_of_40_characters_is_accepted(server: ApiServer) -> None:
    assert apply(server, model("a" * 40, SPEC), "--dry-run=server") == ""


def test_the_spec_of_an_artifact_cannot_be_changed_not_even_deep_inside(server: ApiServer) -> None:
    assert apply(server, artifact("digits-0000000000")) == ""
    assert apply(server, artifact("digits-0000000000")) == ""
    for change in ({"entrypoint": "other:build"}, {"kwargs": {"width": 64}}):
        assert "spec of a ModelArtifact cannot be changed" in apply(server, artifact("digits-0000000000", **change))


def test_the_spec_of_a_revision_cannot_be_changed_not_even_in_its_pod_template(server: ApiServer) -> None:
    assert apply(server, revision("digits-1111111111", "triton:1")) == ""
    assert "spec of a ModelRevision cannot be changed" in apply(server, revision("digits-1111111111", "triton:2"))
