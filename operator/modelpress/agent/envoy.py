"""Envoy's configuration: the pod's open ports in front of Triton, which listens on loopback alone. Pure.

Three listeners: HTTP (HTTP/1.1 and HTTP/2), gRPC (HTTP/2) and metrics. Bodies are streamed, not collected; memory is
bounded by the connections' buffers. While the admin interface is told to fail health checks, every answer closes its
HTTP/1 connection and begins the end (GOAWAY) of its HTTP/2 connection, and new connections are still taken.
"""

from __future__ import annotations

from typing import Any

from .routes import REMOVED_HEADERS, Route, grpc_routes, http_routes, metrics_routes
from .settings import Settings

HTTP, GRPC, METRICS = "http", "grpc", "metrics"
"""Names of the listeners' statistics, and of the clusters."""
CONNECTION_LIMIT = 10_000
"""Most connections from outside, and most requests waiting for Triton."""
BUFFER_BYTES = 1024 * 1024
HEADERS_SECONDS = 10
STREAM_IDLE_SECONDS = 300
CONNECTION_IDLE_SECONDS = 3600
UPSTREAM_IDLE_SECONDS = 1
"""Triton waits for connections to go before it ends, idle ones too: so none is kept that is not used."""
GOAWAY_SECONDS = 1
"""From the announcement that an HTTP/2 connection ends to its end; requests on their way meanwhile are answered."""

_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_PROTOCOLS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_CONNECTIONS = (
    "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
)


def config(settings: Settings) -> dict[str, Any]:
    """Return the bootstrap configuration as a JSON document."""
    ports = settings.ports
    return {
        "admin": {"address": _address("127.0.0.1", ports.envoy_admin)},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {"@type": _CONNECTIONS, "max_active_downstream_connections": CONNECTION_LIMIT},
                }
            ]
        },
        "static_resources": {
            "listeners": [
                _listener(HTTP, settings.listen, ports.http, http_routes(HTTP), codec="AUTO"),
                _listener(GRPC, settings.listen, ports.grpc, grpc_routes(GRPC), codec="HTTP2", stream_idle_seconds=0),
                _listener(METRICS, settings.listen, ports.metrics, metrics_routes(METRICS), codec="AUTO"),
            ],
            "clusters": [
                _cluster(HTTP, ports.triton_http),
                _cluster(GRPC, ports.triton_grpc, http2=True),
                _cluster(METRICS, ports.triton_metrics),
            ],
        },
    }


def _listener(
    name: str, host: str, port: int, routes: list[Route], *, codec: str, stream_idle_seconds: int = STREAM_IDLE_SECONDS
) -> dict[str, Any]:
    manager = {
        "@type": _MANAGER,
        "stat_prefix": name,
        "codec_type": codec,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "use_remote_address": True,
        "request_headers_timeout": f"{HEADERS_SECONDS}s",
        "stream_idle_timeout": f"{stream_idle_seconds}s",
        "drain_timeout": f"{GOAWAY_SECONDS}s",
        "common_http_protocol_options": {"idle_timeout": f"{CONNECTION_IDLE_SECONDS}s"},
        "http2_protocol_options": {"max_concurrent_streams": 1000},
        "route_config": {
            "name": name,
            "request_headers_to_remove": REMOVED_HEADERS,
            "virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}],
        },
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
    }
    return {
        "name": name,
        "address": _address(host, port),
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def _cluster(name: str, port: int, *, http2: bool = False) -> dict[str, Any]:
    protocol: dict[str, Any] = {"http2_protocol_options": {}} if http2 else {"http_protocol_options": {}}
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), CONNECTION_LIMIT)
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address("127.0.0.1", port)}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _PROTOCOLS,
                "common_http_protocol_options": {"idle_timeout": f"{UPSTREAM_IDLE_SECONDS}s"},
                "explicit_http_config": protocol,
            }
        },
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
