"""`modelpress rollout …` as people call it, against an API server that holds one model."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from modelpress.cli.main import main

PATH = "/apis/modelpress.io/v1alpha1/namespaces/team-a/compressedmodels/digits"


def ready(status: str, reason: str, stalled: str = "False") -> list[dict[str, Any]]:
    common = {"reason": reason, "message": f"It is {reason}.", "lastTransitionTime": "2026-01-01T12:00:00Z"}
    return [{"type": "Ready", "status": status} | common, {"type": "Stalled", "status": stalled} | common]


def revision(name: str, hour: int, verified: str = "True", rejected: str = "", served_at: str = "") -> dict[str, Any]:
    condition = {"type": "Verified", "status": verified, "reason": "R", "lastTransitionTime": "2026-01-01T12:00:00Z"}
    status: dict[str, Any] = {"conditions": [condition]}
    if rejected:
        status["rejected"] = {"judgedBy": "x", "reason": rejected, "message": "No."}
    if served_at:
        status["servedAt"] = f"2026-01-01T{served_at}:00Z"
    metadata = {"name": name, "creationTimestamp": f"2026-01-01T{hour}:00:00Z"}
    return {"metadata": metadata, "spec": {"artifact": "digits-artifact"}, "status": status}


class Server:
    """Holds one model; `statuses` are shown one after the other, the last one for good."""

    def __init__(self, folder: Path) -> None:
        self.spec: dict[str, Any] = {"rollout": {}}
        self.statuses: list[dict[str, Any]] = [{"observedGeneration": 1, "conditions": ready("True", "Serving")}]
        self.revisions = [
            revision("digits-1", 10, served_at="10:30"),
            revision("digits-2", 11, served_at="13:45"),
            revision("digits-3", 12, rejected="AnalysisFailed", served_at="12:30"),
            revision("digits-4", 13),
            revision("digits-5", 14, verified="Unknown"),
        ]
        self.patches: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == PATH:
                    self._answer(200, outer.model())
                elif "modelrevisions?" in self.path:
                    self._answer(200, {"items": outer.revisions})
                else:
                    self._answer(404, {"message": "not found", "reason": "NotFound"})

            def do_PATCH(self) -> None:
                assert self.headers["Content-Type"] == "application/merge-patch+json"
                outer.patches.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._answer(200, outer.model())

            def _answer(self, code: int, body: Any) -> None:
                data = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.kubeconfig = folder / "kubeconfig"
        address = f"http://127.0.0.1:{self.http.server_port}"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": address}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "team-a"}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(content))

    def model(self) -> dict[str, Any]:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return {"metadata": {"name": "digits", "generation": 1}, "spec": self.spec, "status": status}

    def call(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["rollout", "--kubeconfig", str(self.kubeconfig), *arguments])

    def fields(self) -> dict[str, Any]:
        """Return what was set of `spec.rollout`."""
        (patch,) = self.patches
        assert list(patch) == ["spec"]
        assert list(patch["spec"]) == ["rollout"]
        found: dict[str, Any] = patch["spec"]["rollout"]
        return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path)
    thread = threading.Thread(target=found.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield found
    found.http.shutdown()
    thread.join()


def with_candidate(server: Server) -> None:
    server.statuses = [
        {
            "observedGeneration": 1,
            "conditions": ready("False", "RollingOut"),
            "currentRevision": "digits-2",
            "candidateRevision": "digits-4",
        }
    ]


@pytest.mark.parametrize(("verb", "kind"), [("promote", "Promote"), ("abort", "Abort")])
def test_the_present_candidate_is_decided_about_by_name(server: Server, verb: str, kind: str) -> None:
    with_candidate(server)
    done = server.call(verb, "digits")
    assert done.exit_code == 0, done.output
    assert server.fields() == {"action": {"revision": "digits-4", "do": kind}}
    assert done.output == f"spec.rollout.action is now revision: digits-4, do: {kind}\n"


def test_a_decision_about_nobody_or_somebody_else_is_refused_and_writes_nothing(server: Server) -> None:
    assert "There is no candidate" in server.call("promote", "digits").output
    with_candidate(server)
    done = server.call("promote", "digits", "--revision", "digits-1")
    assert (done.exit_code, done.output) == (
        1,
        "Error: digits-1 is not the candidate, digits-4 is: it would mean nothing.\n",
    )
    assert server.patches == []


@pytest.mark.parametrize(("current", "before"), [("digits-2", "digits-1"), ("digits-1", "digits-2")])
def test_undo_pins_what_last_had_all_traffic_not_what_is_newest(server: Server, current: str, before: str) -> None:
    """digits-4 answered beside another one, and never alone; digits-3 was rejected since it served."""
    server.statuses[0]["currentRevision"] = current
    assert server.call("undo", "digits").exit_code == 0
    assert server.fields() == {"pinRevision": before}


def test_undo_says_that_nothing_else_ever_served(server: Server) -> None:
    server.statuses[0]["currentRevision"] = "digits-2"
    server.revisions = server.revisions[1:]
    done = server.call("undo", "digits")
    assert done.exit_code == 1
    assert "There is no other revision that served; `--to` takes any one" in done.output
    assert server.patches == []


def test_undo_of_a_candidate_pins_what_serves(server: Server) -> None:
    with_candidate(server)
    server.call("undo", "digits")
    assert server.fields() == {"pinRevision": "digits-2"}


def test_undo_takes_a_name_and_refuses_one_that_is_not_there(server: Server) -> None:
    assert (
        "There is no revision digits-9; there are: digits-5, digits-4, digits-3"
        in server.call("undo", "digits", "--to=digits-9").output
    )
    server.call("undo", "digits", "--to=digits-1")
    assert server.fields() == {"pinRevision": "digits-1"}


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (["undo", "digits", "--end"], {"pinRevision": None}),
        (["pause", "digits"], {"paused": True}),
        (["resume", "digits"], {"paused": None}),
    ],
)
def test_a_field_is_set_or_removed(server: Server, arguments: list[str], fields: dict[str, Any]) -> None:
    assert server.call(*arguments).exit_code == 0
    assert server.fields() == fields


def test_retry_changes_the_token_and_takes_an_abort_back(server: Server) -> None:
    server.spec["rollout"]["action"] = {"revision": "digits-3", "do": "Abort"}
    server.call("retry", "digits")
    assert server.fields()["action"] is None
    assert server.fields()["retryToken"].startswith("20")


def test_status_follows_until_it_serves(server: Server) -> None:
    rolling = {"observedGeneration": 1, "conditions": ready("False", "RollingOut")}
    server.statuses = [{"observedGeneration": 0}, rolling, *server.statuses]
    done = server.call("status", "digits")
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "The operator has not looked at this spec yet.",
        "RollingOut: It is RollingOut.",
        "Serving: It is Serving.",
    ]


def test_status_fails_when_a_person_must_act(server: Server) -> None:
    server.statuses = [{"observedGeneration": 1, "conditions": ready("False", "AnalysisFailed", stalled="True")}]
    assert server.call("status", "digits").exit_code == 1


def test_history_says_what_became_of_each_revision(server: Server) -> None:
    with_candidate(server)
    lines = server.call("history", "digits").output.splitlines()
    assert [line.split("  ")[0].strip() for line in lines] == [
        "REVISION",
        "digits-5",
        "digits-4",
        "digits-3",
        "digits-2",
        "digits-1",
    ]
    assert [line.split("digits-artifact  ")[1] for line in lines[1:]] == [
        "never answered",
        "is to serve next",
        "rejected: AnalysisFailed, served from 2026-01-01T12:30:00Z",
        "serves",
        "served from 2026-01-01T10:30:00Z",
    ]


def test_a_model_that_is_not_there_is_said_in_a_sentence(server: Server) -> None:
    done = server.call("status", "letters")
    assert (done.exit_code, done.output) == (1, "Error: There is no CompressedModel letters in this namespace.\n")
