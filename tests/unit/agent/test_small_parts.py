"""The key, the failure's message, the settings, and the routes as data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelpress.agent import key
from modelpress.agent.failure import AgentError, write_message
from modelpress.agent.routes import grpc_routes, http_routes
from modelpress.agent.settings import Ports, Settings
from modelpress.api.reasons import Reason
from modelpress.api.results import MESSAGE_LIMIT, ExitCode, Failure


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    first = key.ensure(tmp_path / "key")
    assert len(first) >= 32
    assert key.ensure(tmp_path / "key") == first
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.STORE_UNAVAILABLE, ExitCode.ENVIRONMENT),
        (Reason.SECRET_NOT_FOUND, ExitCode.ENVIRONMENT),
        (Reason.ANSWERS_DIFFER, ExitCode.JUDGED),
        (Reason.ARTIFACT_CHANGED, ExitCode.JUDGED),
    ],
)
def test_the_exit_code_says_whether_to_try_again(reason: Reason, code: ExitCode) -> None:
    assert AgentError(reason, "because").exit_code is code


def test_a_long_message_is_cut_to_what_kubernetes_keeps_and_stays_json(tmp_path: Path) -> None:
    write_message(Failure(reason=Reason.MODEL_LOAD_FAILED, message='ü"' * 5000), tmp_path / "log")
    content = (tmp_path / "log").read_bytes()
    assert MESSAGE_LIMIT * 0.8 < len(content) <= MESSAGE_LIMIT
    assert json.loads(content)["message"].endswith("…")


def test_an_offset_moves_every_port() -> None:
    assert all(
        moved - port == 100
        for moved, port in zip(vars(Settings(port_offset=100).ports).values(), vars(Ports()).values(), strict=True)
    )


@pytest.mark.parametrize("routes", [http_routes("t"), grpc_routes("t")])
def test_what_no_route_allows_is_refused(routes: list[dict[str, object]]) -> None:
    assert routes[-1]["match"] == {"prefix": "/"}
    assert "direct_response" in routes[-1]
    assert all("route" in route for route in routes[1:-1])
