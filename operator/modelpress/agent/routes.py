"""What clients may ask of Triton, as Envoy routes: a list of what is allowed; all else is refused with a sentence.

Triton's HTTP API is matched by paths in the exact form in which Triton itself knows them: lower case, nothing encoded.
Model control, shared memory, trace and logging have no form in the list, however they are written. Pure.
"""

from __future__ import annotations

import json
from typing import Any

from modelpress.api.servingpod import RESTRICTED_KEY_NAME

MODEL = r"/v2/models/[A-Za-z0-9][A-Za-z0-9._-]*(/versions/[0-9]+)?"
READ_PATHS = ("/v2", "/v2/", "/v2/health/live", "/v2/health/ready", "/v2/models/stats")
READ = MODEL + r"(/(ready|config|stats))?"
INFER = MODEL + r"/(infer|generate|generate_stream)"
SERVICE, HEALTH_SERVICE = "inference.GRPCInferenceService", "grpc.health.v1.Health"
METHODS = (
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelConfig",
    "ModelStatistics",
    "ModelInfer",
    "ModelStreamInfer",
)
HEALTH_METHODS = ("Check", "Watch")
BODY_LIMIT = 2**31 - 1
"""Largest Content-Length, in bytes: as large as a gRPC message can be."""
HTTP_SECONDS = 300
"""Longest time of one HTTP request, the upload of its body included."""
REFUSED = (
    "This address serves inference, metadata and health. Model control, shared memory, trace and logging are the "
    "operator's: change the CompressedModel instead."
)
TOO_LARGE = f"The body is larger than {BODY_LIMIT} bytes."

Route = dict[str, Any]

SAFE_RETRIES = {"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 2}
"""Only where Triton cannot have seen the request."""


def http_routes(cluster: str) -> list[Route]:
    """Return the routes of the HTTP port."""
    to_triton = {"cluster": cluster, "timeout": f"{HTTP_SECONDS}s", "retry_policy": SAFE_RETRIES}
    return [
        {
            "match": {"prefix": "/", "headers": [_content_length_from(BODY_LIMIT + 1)]},
            "direct_response": _refusal(413, TOO_LARGE),
        },
        *({"match": {"path": path, "headers": [_methods("GET", "HEAD")]}, "route": to_triton} for path in READ_PATHS),
        {"match": {"safe_regex": {"regex": READ}, "headers": [_methods("GET", "HEAD")]}, "route": to_triton},
        {"match": {"safe_regex": {"regex": INFER}, "headers": [_methods("POST")]}, "route": to_triton},
        {"match": {"prefix": "/"}, "direct_response": _refusal(403, REFUSED)},
    ]


def grpc_routes(cluster: str) -> list[Route]:
    """Return the routes of the gRPC port. No time limit but the client's deadline."""
    allowed = [f"/{SERVICE}/{name}" for name in METHODS] + [f"/{HEALTH_SERVICE}/{name}" for name in HEALTH_METHODS]
    to_triton = {"cluster": cluster, "timeout": "0s", "retry_policy": SAFE_RETRIES}
    return [
        *({"match": {"path": path, "grpc": {}}, "route": to_triton} for path in allowed),
        {"match": {"prefix": "/"}, "direct_response": {"status": 403, "body": {"inline_string": REFUSED}}},
    ]


def metrics_routes(cluster: str) -> list[Route]:
    """Return the routes of the metrics port: /metrics and nothing else."""
    return [
        {"match": {"path": "/metrics", "headers": [_methods("GET")]}, "route": {"cluster": cluster, "timeout": "10s"}},
        {"match": {"prefix": "/"}, "direct_response": _refusal(404, "Metrics are at /metrics.")},
    ]


REMOVED_HEADERS = [RESTRICTED_KEY_NAME, f"triton-grpc-protocol-{RESTRICTED_KEY_NAME}"]
"""Nobody outside can carry the key, not even one who guessed it."""


def _refusal(status: int, sentence: str) -> dict[str, Any]:
    return {"status": status, "body": {"inline_string": json.dumps({"error": sentence})}}


def _methods(*names: str) -> dict[str, Any]:
    return {"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(names)}}}


def _content_length_from(length: int) -> dict[str, Any]:
    return {"name": "content-length", "range_match": {"start": length, "end": 2**63 - 1}}
