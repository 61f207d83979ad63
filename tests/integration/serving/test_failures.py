"""What cannot be served is said in the termination message, with the exit code that tells whether to try again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.servingpod import wait_until

from modelpress.api.results import ExitCode

from .conftest import MakePod
from .small_models import publish

WRONG = "sha256:" + "0" * 64


def test_answers_that_differ_from_the_judges_are_never_served(make_pod: MakePod, artifact_store: Path) -> None:
    pod = make_pod(publish(artifact_store, factor=1.0, judged=1.5))
    pod.start()
    wait_until(lambda: pod.ended("agent") is not None, "the agent to give up")
    assert pod.ended("agent") == ExitCode.JUDGED, pod.log("agent")
    message = pod.termination_message()
    assert message["reason"] == "AnswersDiffer"
    assert "output 'scores' differs" in message["message"]
    assert not pod.probe("ready")


@pytest.fixture
def store_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any s3:// URI leads to a port where nobody listens."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")


@pytest.mark.usefixtures("store_away")
@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        ({"manifest_digest": WRONG}, ExitCode.JUDGED, "ArtifactChanged"),
        ({"secret_name": "absent"}, ExitCode.ENVIRONMENT, "SecretNotFound"),
        ({"uri": "s3://models/nowhere"}, ExitCode.ENVIRONMENT, "StoreUnavailable"),
    ],
    ids=["another manifest", "no secret", "store away"],
)
def test_an_artifact_that_cannot_be_had_ends_the_agent(
    make_pod: MakePod, artifact_store: Path, change: dict[str, str], code: ExitCode, reason: str
) -> None:
    pod = make_pod(publish(artifact_store).model_copy(update=change))
    pod.start("agent")
    wait_until(lambda: pod.ended("agent") is not None, "the agent to give up")
    assert pod.ended("agent") == code, pod.log("agent")
    assert pod.termination_message()["reason"] == reason


def test_a_model_file_that_was_changed_in_the_store_is_refused(make_pod: MakePod, artifact_store: Path) -> None:
    model = publish(artifact_store, factor=3.0)
    stored = Path(model.uri.removeprefix("file://")) / "onnx" / "model.onnx"
    content = bytearray(stored.read_bytes())
    content[-1] ^= 1
    stored.write_bytes(content)
    pod = make_pod(model)
    pod.start("agent")
    wait_until(lambda: pod.ended("agent") is not None, "the agent to give up")
    assert pod.ended("agent") == ExitCode.JUDGED, pod.log("agent")
    assert pod.termination_message()["reason"] == "ArtifactChanged"
    assert not (pod.repository / model.name).exists()
