"""The agent's process from its start to its end, without Triton: what it says when an artifact cannot be had."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from tests.integration.serving.small_models import publish

from modelpress.agent import running
from modelpress.agent.settings import Settings
from modelpress.api.results import ExitCode
from modelpress.api.servingpod import MODELS_FOLDER, REPOSITORY_FOLDER, RUN_FOLDER, ServedModel, ServingPod
from modelpress.api.tasks import TERMINATION_MESSAGE_PATH

WRONG = "sha256:" + "0" * 64


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A pod's folders below tmp_path, and a store at s3:// that is away."""
    monkeypatch.setenv("MODELPRESS_ROOT", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for folder in (MODELS_FOLDER, RUN_FOLDER, REPOSITORY_FOLDER, str(Path(TERMINATION_MESSAGE_PATH).parent)):
        (tmp_path / folder.lstrip("/")).mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        offset = probe.getsockname()[1] - 8003
    return Settings(listen="127.0.0.1", port_offset=offset)


async def run(settings: Settings, model: ServedModel) -> tuple[ExitCode, str]:
    """Run the agent to its end; return its exit code and the reason in the termination message."""
    settings.models_file.write_text(ServingPod(models=(model,)).model_dump_json(by_alias=True))
    code = await running.run(settings)
    return code, json.loads(settings.termination_message.read_text())["reason"]


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        ({"manifest_digest": WRONG}, ExitCode.JUDGED, "ArtifactChanged"),
        ({"secret_name": "absent"}, ExitCode.ENVIRONMENT, "SecretNotFound"),
        ({"uri": "s3://models/nowhere"}, ExitCode.ENVIRONMENT, "StoreUnavailable"),
    ],
    ids=["another manifest", "no secret", "store away"],
)
async def test_an_artifact_that_cannot_be_had_ends_the_agent(
    settings: Settings, tmp_path: Path, change: dict[str, str], code: ExitCode, reason: str
) -> None:
    model = publish(tmp_path / "store").model_copy(update=change)
    assert await run(settings, model) == (code, reason)


async def test_a_model_file_that_was_changed_in_the_store_is_refused(settings: Settings, tmp_path: Path) -> None:
    model = publish(tmp_path / "store")
    stored = Path(model.uri.removeprefix("file://")) / "onnx" / "model.onnx"
    content = bytearray(stored.read_bytes())
    content[-1] ^= 1
    stored.write_bytes(content)
    assert await run(settings, model) == (ExitCode.JUDGED, "ArtifactChanged")
    assert not (settings.repository / model.name).exists()


async def test_a_type_that_cannot_be_served_is_said_before_triton_is_asked(settings: Settings, tmp_path: Path) -> None:
    model = publish(tmp_path / "store", dtype="complex64")
    assert await run(settings, model) == (ExitCode.JUDGED, "ModelLoadFailed")
    assert "complex64" in settings.termination_message.read_text()
