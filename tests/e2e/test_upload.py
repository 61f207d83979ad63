"""`make upload`: what lies in a folder of one's own is in the demo's store, and the screen says what to write."""

from __future__ import annotations

import subprocess
from pathlib import Path

import fsspec
import pytest
import stores

ROOT = Path(__file__).parents[2]
FILES = {"source/model.py": "code", "source/deep/weights.safetensors": "weights", "data/train.npz": "numbers"}


def upload(kubeconfig: Path, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "upload", f"FROM={folder}", f"KUBECONFIG_IN={kubeconfig}", *more]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize(("more", "called"), [((), "my-model"), (("NAME=as-told",), "as-told")])
def test_a_folder_of_ones_own_comes_into_the_store(
    more: tuple[str, ...], called: str, cluster: Path, store: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "my-model"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    done = upload(cluster, folder, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"source.uri: s3://models/{called}/ with secretName: models-read" in done.stdout
    assert f"s3://data/{called}/train.npz" in done.stdout
    found = stores.find(cluster)
    write = found.credentials["write"]
    options = {"key": write["accessKeyId"], "secret": write["secretAccessKey"], "endpoint_url": found.write_endpoint}
    for name, text in FILES.items():
        part, _, rest = name.partition("/")
        bucket = {"source": "models", "data": "data"}[part]
        with fsspec.open(f"s3://{bucket}/{called}/{rest}", "rt", **options) as file:
            assert file.read() == text


def test_a_folder_without_a_model_is_refused(cluster: Path, tmp_path: Path) -> None:
    done = upload(cluster, tmp_path)
    assert done.returncode != 0
    assert f"{tmp_path} has no folder source/ with the model's files: put them there." in done.stdout
