"""The script that starts Triton, run by a real shell with a stand-in for tritonserver."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.support.rendering import INSTALLATION

from modelpress.api.fields import ResourceRequirements
from modelpress.api.servingpod import DRAINED_FILE, RUN_FOLDER, STOPPING_FILE
from modelpress.render.serving.triton import triton_container, triton_script

PATIENCE = 60


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    stand_in = tmp_path / "bin" / "tritonserver"
    stand_in.parent.mkdir()
    stand_in.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    stand_in.chmod(0o755)
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def start(run_folder: Path) -> subprocess.Popen[str]:
    script = triton_script().replace(RUN_FOLDER, str(run_folder))
    environment = {"PATH": f"{run_folder.parent / 'bin'}:/usr/bin:/bin"}
    return subprocess.Popen(["sh", "-c", script], env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("ending", ["", "\n"])
def test_triton_starts_with_the_key_once_the_agent_has_written_it(run_folder: Path, ending: str) -> None:
    with start(run_folder) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        (run_folder / "key.new").write_text("a secret with a blank" + ending)
        (run_folder / "key.new").rename(run_folder / "key")
        output, _ = process.communicate(timeout=PATIENCE)
    restricted = "model-repository,shared-memory,trace,logging:modelpress-key=a secret with a blank"
    assert f"--http-restricted-api={restricted}" in output.splitlines()
    assert f"--grpc-restricted-protocol={restricted}" in output.splitlines()
    assert "--model-control-mode=poll" in output.splitlines()


def test_triton_listens_on_loopback_only(run_folder: Path) -> None:
    (run_folder / "key").write_text("key")
    with start(run_folder) as process:
        output, _ = process.communicate(timeout=PATIENCE)
    addresses = [line for line in output.splitlines() if "-address=" in line]
    assert sorted(addresses) == ["--grpc-address=127.0.0.1", "--http-address=127.0.0.1", "--metrics-address=127.0.0.1"]


def test_a_container_that_starts_again_takes_back_its_end(run_folder: Path) -> None:
    (run_folder / "key").write_text("key")
    files = [run_folder / Path(name).name for name in (STOPPING_FILE, DRAINED_FILE)]
    for file in files:
        file.touch()
    with start(run_folder) as process:
        process.communicate(timeout=PATIENCE)
    assert not [file for file in files if file.exists()]


def test_a_container_that_never_got_a_key_ends_when_told_to(run_folder: Path) -> None:
    with start(run_folder) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.terminate()
        assert process.wait(PATIENCE) == 143


def test_the_end_is_announced_and_waited_for(run_folder: Path) -> None:
    container = triton_container(INSTALLATION, ResourceRequirements())
    command = container["lifecycle"]["preStop"]["exec"]["command"]
    with subprocess.Popen([part.replace(RUN_FOLDER, str(run_folder)) for part in command]) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        assert (run_folder / "stopping").exists()
        (run_folder / "drained").touch()
        assert process.wait(PATIENCE) == 0
