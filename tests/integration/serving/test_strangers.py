"""Whoever is not the pod's agent can infer, and can do nothing else, over either protocol."""

from __future__ import annotations

import http.client
import json
import socket

import grpc
import pytest
import tritonclient.http as triton_http
from tests.support.servingpod import Pod
from tritonclient.grpc import service_pb2, service_pb2_grpc

from .small_models import NAME

FORBIDDEN = [
    ("POST", f"/v2/repository/models/{NAME}/unload"),
    ("POST", f"/v2/repository/models/{NAME}/load"),
    ("POST", "/v2/repository/index"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("POST", "/v2/systemsharedmemory/region/a/register"),
    ("POST", "/v2/cudasharedmemory/region/a/register"),
    ("POST", "/v2/trace/setting"),
    ("GET", f"/v2/models/{NAME}/trace/setting"),
    ("POST", "/v2/logging"),
    ("POST", f"/V2/Repository/models/{NAME}/unload"),
    ("POST", f"/v2/%72epository/models/{NAME}/unload"),
    ("POST", f"/v2/repository%2Fmodels/{NAME}/unload"),
    ("POST", f"/v2//repository//models/{NAME}/unload"),
    ("POST", f"/v2/models/../repository/models/{NAME}/unload"),
    ("POST", f"/v2/models/{NAME}/%2e%2e/../repository/models/{NAME}/unload"),
    ("POST", f"/v2/models/{NAME}/infer/../../../repository/models/{NAME}/unload"),
    ("POST", f"/v2/models/{NAME}%2Funload/infer"),
    ("POST", f"/v2/repository/models/{NAME}/unload?a=/v2/models/{NAME}/infer"),
    ("POST", f"/v2/repository/models/{NAME}/unload;/infer"),
]


@pytest.mark.parametrize(("method", "path"), FORBIDDEN, ids=lambda value: value)
def test_nothing_but_inference_is_reached_over_http_even_with_the_key(pod: Pod, method: str, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", pod.ports.http, timeout=20)
    connection.request(method, path, body="{}", headers={"modelpress-key": pod.key})
    response = connection.getresponse()
    content = response.read()
    assert response.status in {400, 403}, content
    if response.status == 403:
        assert "change the CompressedModel" in json.loads(content)["error"]
    assert triton_http.InferenceServerClient(f"127.0.0.1:{pod.ports.http}").is_model_ready(NAME)


@pytest.mark.parametrize(
    ("method", "request_type"),
    [
        ("RepositoryIndex", service_pb2.RepositoryIndexRequest()),
        ("RepositoryModelLoad", service_pb2.RepositoryModelLoadRequest(model_name=NAME)),
        ("RepositoryModelUnload", service_pb2.RepositoryModelUnloadRequest(model_name=NAME)),
        ("SystemSharedMemoryStatus", service_pb2.SystemSharedMemoryStatusRequest()),
        ("SystemSharedMemoryRegister", service_pb2.SystemSharedMemoryRegisterRequest(name="a", key="/a", byte_size=1)),
        ("CudaSharedMemoryRegister", service_pb2.CudaSharedMemoryRegisterRequest(name="a")),
        ("TraceSetting", service_pb2.TraceSettingRequest()),
        ("LogSettings", service_pb2.LogSettingsRequest()),
    ],
)
def test_nothing_but_inference_is_reached_over_grpc_even_with_the_key(
    pod: Pod, method: str, request_type: object
) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{pod.ports.grpc}") as channel:
        call = getattr(service_pb2_grpc.GRPCInferenceServiceStub(channel), method)
        with pytest.raises(grpc.RpcError) as refused:
            call(request_type, timeout=20, metadata=[("triton-grpc-protocol-modelpress-key", pod.key)])
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED  # type: ignore[attr-defined]
    assert "change the CompressedModel" in refused.value.details()  # type: ignore[attr-defined]


def test_the_http_port_speaks_no_grpc_method_either(pod: Pod) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{pod.ports.http}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.RepositoryModelUnload(service_pb2.RepositoryModelUnloadRequest(model_name=NAME), timeout=20)
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED  # type: ignore[attr-defined]


def test_tritons_own_ports_want_the_key_and_are_closed_to_other_machines(pod: Pod) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", pod.ports.triton_http, timeout=20)
    connection.request("POST", f"/v2/repository/models/{NAME}/unload", body="{}")
    assert connection.getresponse().status == 403
    own = _own_address()
    for port in (pod.ports.triton_http, pod.ports.triton_grpc, pod.ports.triton_metrics, pod.ports.envoy_admin):
        with socket.socket() as outside, pytest.raises(ConnectionRefusedError):
            outside.settimeout(10)
            outside.connect((own, port))


def test_the_metrics_port_gives_metrics_and_nothing_else(pod: Pod) -> None:
    for path, status in (("/metrics", 200), ("/v2/health/live", 404), ("/metrics/", 404), ("/", 404)):
        connection = http.client.HTTPConnection("127.0.0.1", pod.ports.metrics, timeout=20)
        connection.request("GET", path)
        assert connection.getresponse().status == status, path


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(pod: Pod) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", pod.ports.http, timeout=20)
    connection.putrequest("POST", f"/v2/models/{NAME}/infer")
    connection.putheader("Content-Length", str(2**31))
    connection.endheaders()
    assert connection.getresponse().status == 413


def test_the_key_is_the_pods_own_users_alone(pod: Pod) -> None:
    (file,) = pod.root.glob("run/modelpress/key")
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(pod.key) >= 32


def _own_address() -> str:
    """Return this machine's address on its network; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        address: str = probe.getsockname()[0]
        return address
