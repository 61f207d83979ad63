"""What the API server refuses of `serving.autoscaling`, and what it lets pass."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.api.refusing import apply
from tests.integration.api.specs import SPEC, model
from tests.support.apiserver import ApiServer

ASLEEP = {"minReplicas": 0, "maxReplicas": 4, "activation": {"prometheus": {"query": "sum(asked)"}}}


def refusal(server: ApiServer, autoscaling: dict[str, Any], **serving: Any) -> str:
    wanted = {**SPEC, "serving": {"autoscaling": autoscaling, **serving}}
    return apply(server, model("digits", wanted), "--dry-run=server")


@pytest.mark.parametrize(
    ("autoscaling", "serving"),
    [
        ({"maxReplicas": 4}, {}),
        ({"engine": "HPA", "minReplicas": 4, "maxReplicas": 4, "target": {"cpu": 70}}, {}),
        ({"maxReplicas": 4, "target": {"cpu": 70}}, {"resources": {"limits": {"cpu": "1"}}}),
        ({"maxReplicas": 4, "target": {"queueTime": "20ms"}}, {"batching": {"maxQueueDelay": "10ms"}}),
        ({"maxReplicas": 4, "target": {"pendingRequests": 4}}, {"resources": {"requests": {"memory": "1Gi"}}}),
        (ASLEEP, {}),
        (ASLEEP | {"engine": "KEDA", "target": {"cpu": 70}}, {}),
    ],
)
def test_what_can_be_meant_is_accepted(server: ApiServer, autoscaling: dict[str, Any], serving: dict[str, Any]) -> None:
    assert refusal(server, autoscaling, **serving) == ""


@pytest.mark.parametrize(
    ("autoscaling", "serving", "message"),
    [
        ({"maxReplicas": 4}, {"replicas": 2}, "set serving.replicas or serving.autoscaling, not both"),
        ({}, {}, "spec.serving.autoscaling.maxReplicas: Required value"),
        ({"maxReplicas": 2, "minReplicas": 3}, {}, "minReplicas must not be greater than autoscaling.maxReplicas"),
        ({"maxReplicas": 2, "engine": "VPA"}, {}, 'spec.serving.autoscaling.engine: Unsupported value: "VPA"'),
        ({"maxReplicas": 2, "engine": "HPA", "target": {"queueTime": "20ms"}}, {}, "HPA knows target.cpu alone"),
        ({"maxReplicas": 2, "target": {}}, {}, "target has exactly one of cpu, queueTime, pendingRequests"),
        ({"maxReplicas": 2, "target": {"cpu": 70, "pendingRequests": 4}}, {}, "target has exactly one of"),
        ({"maxReplicas": 2, "target": {"cpu": 0}}, {}, "spec.serving.autoscaling.target.cpu"),
        ({"maxReplicas": 2, "target": {"queueTime": "0ms"}}, {}, "target.queueTime must be at least 1ms"),
        (
            {"maxReplicas": 2, "target": {"queueTime": "2ms"}},
            {},
            "queueTime must be longer than batching.maxQueueDelay",
        ),
        (
            {"maxReplicas": 2, "target": {"queueTime": "20ms"}},
            {"batching": {"maxQueueDelay": "20ms"}},
            "queueTime must be longer than batching.maxQueueDelay",
        ),
        (
            {"maxReplicas": 2, "target": {"cpu": 70}},
            {"resources": {"requests": {"memory": "1Gi"}}},
            "set serving.resources.requests.cpu",
        ),
        ({"minReplicas": 0, "maxReplicas": 2}, {}, "minReplicas 0 needs autoscaling.activation"),
        (ASLEEP | {"minReplicas": 1}, {}, "set minReplicas to 0, or leave it out"),
        (ASLEEP | {"engine": "HPA"}, {}, "engine HPA cannot scale to zero"),
        (ASLEEP | {"activation": {}}, {}, "spec.serving.autoscaling.activation.prometheus: Required value"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(
    server: ApiServer, autoscaling: dict[str, Any], serving: dict[str, Any], message: str
) -> None:
    assert message in refusal(server, autoscaling, **serving)


def test_kubectl_scale_says_why_it_may_not(server: ApiServer) -> None:
    wanted = {**SPEC, "serving": {"autoscaling": {"maxReplicas": 4}}}
    assert apply(server, model("autoscaled", wanted)) == ""
    done = server.kubectl("scale", "compressedmodel", "autoscaled", "--replicas=3", "--namespace=default")
    assert "an autoscaler counts the pods itself" in done.stderr
