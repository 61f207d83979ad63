"""`modelpress serve-local`: an artifact on a real Triton, by the command that somebody would call."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.integration.serving.small_models import publish
from tests.support.tritonserver import installed

MODELPRESS = (sys.executable, "-c", "from modelpress.cli.main import main; main()", "serve-local")


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """One in which `tritonserver` is on the PATH."""
    yield os.environ | {"OMP_NUM_THREADS": "1"} | installed().variables(tmp_path / "bin")


def started(artifact: str, environment: dict[str, str], http: int, *others: int) -> subprocess.Popen[str]:
    options = [f"--http-port={http}", f"--grpc-port={others[0]}", f"--metrics-port={others[1]}", "--name=linear"]
    return subprocess.Popen(
        [*MODELPRESS, artifact, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def test_an_artifact_answers_until_it_is_interrupted(tmp_path: Path, environment: dict[str, str]) -> None:
    served = publish(tmp_path / "store")
    ports = free_ports(3)
    with started(served.uri, environment, *ports) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert "answers, and gave the judge's reference answers" in said, said + process.stdout.read()
        with urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/v2/models/linear/ready", timeout=30) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_an_artifact_that_answers_otherwise_is_not_served(tmp_path: Path, environment: dict[str, str]) -> None:
    served = publish(tmp_path / "store", factor=2.0, judged=1.0)
    with started(served.uri, environment, *free_ports(3)) as process:
        said, _ = process.communicate(timeout=300)
    assert (process.returncode, "AnswersDiffer" in said) == (10, True), said
