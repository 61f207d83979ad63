"""Against a real S3 server: what each fault of a store ends as, and that nothing half-done is taken for whole."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import tenacity
from tests.support.s3_server import S3Server, running_s3_server

from modelpress.api.reasons import Reason
from modelpress.api.tasks import Location
from modelpress.store import artifacts, digests, transfer
from modelpress.store.errors import StoreError
from modelpress.store.locations import ROOT_VARIABLE, Place, open_place
from modelpress.store.manifest import Manifest, describe

MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    root = tmp_path_factory.mktemp("s3")
    (root / "store" / "models" / "digits" / "sub").mkdir(parents=True)
    (root / "store" / "artifacts").mkdir()
    (root / "store" / "models" / "digits" / "model.py").write_text("def build(): ...\n")
    (root / "store" / "models" / "digits" / "sub" / "weights.safetensors").write_bytes(os.urandom(20 * MEBIBYTE))
    with running_s3_server(root / "store", root / "etc/modelpress/secrets") as running:
        running.secret("reader")
        yield running


@pytest.fixture(autouse=True)
def _root(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(server.folder.parent))


def at(uri: str, secret: str = "reader") -> Place:
    return open_place(Location(uri=uri, secret_name=secret))


def test_a_folder_is_digested_by_its_listing_and_fetched_whole(tmp_path: Path) -> None:
    place = at("s3://models/digits/")
    digest = transfer.resolve(place)
    assert digest.startswith("listing-sha256:")
    content = transfer.download(place, tmp_path, digest)
    sizes = {
        path.relative_to(tmp_path).as_posix(): path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()
    }
    assert sizes == {"model.py": 17, "sub/weights.safetensors": 20 * MEBIBYTE}
    shell = "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum"
    printed = subprocess.run(["sh", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert content == f"sha256:{printed.split()[0]}"


def test_a_pinned_content_digest_is_verified(tmp_path: Path) -> None:
    place = at("s3://models/digits/model.py")
    content = transfer.download(place, tmp_path, name="model.py")
    assert transfer.download(place, tmp_path / "again", content) == content
    with pytest.raises(StoreError, match=r"DigestMismatch.*correct the digest"):
        transfer.download(place, tmp_path / "other", "sha256:" + "0" * 64)


@pytest.mark.parametrize(
    ("uri", "secret", "reason"),
    [
        ("s3://models/digits/", "wrong-secret", Reason.ACCESS_DENIED),
        ("s3://models/digits", "wrong-key", Reason.ACCESS_DENIED),
        ("s3://models/digits/", "never-mounted", Reason.SECRET_NOT_FOUND),
        ("s3://models/nothing/", "reader", Reason.SOURCE_NOT_FOUND),
        ("s3://models/nothing.npz", "reader", Reason.SOURCE_NOT_FOUND),
        ("s3://no-such-bucket/x/", "reader", Reason.SOURCE_NOT_FOUND),
    ],
)
def test_what_cannot_be_read_has_a_reason_of_its_own(server: S3Server, uri: str, secret: str, reason: Reason) -> None:
    server.secret("wrong-secret", secret="guessed")
    server.secret("wrong-key", key="nobody")
    with pytest.raises(StoreError) as caught:
        transfer.resolve(at(uri, secret))
    assert caught.value.reason is reason
    assert "guessed" not in caught.value.message


def test_a_file_changed_after_it_was_resolved_is_refused(server: S3Server, tmp_path: Path) -> None:
    changing = server.folder / "models" / "changing"
    changing.mkdir()
    (changing / "a").write_text("before")
    place = at("s3://models/changing/")
    digest = transfer.resolve(place)
    (changing / "a").write_text("after!")
    with pytest.raises(StoreError, match="DigestMismatch"):
        transfer.download(place, tmp_path, digest)


def test_a_file_changed_while_it_is_read_is_noticed(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changing = server.folder / "models" / "racing"
    changing.mkdir()
    (changing / "a").write_text("before")
    (changing / "b").write_text("before")
    place = at("s3://models/racing/")
    for attempt in tenacity.Retrying(stop=tenacity.stop_after_delay(10), wait=tenacity.wait_fixed(0.05), reraise=True):
        with attempt:  # rclone looks at its folders ten times a second
            assert len(digests.list_place(place).entries) == 2
    fetch_files = transfer.fetch_files

    def fetch_then_change(*arguments: object) -> dict[str, str]:
        found = fetch_files(*arguments)  # type: ignore[arg-type]
        (changing / "a").write_text("after!")
        return found

    monkeypatch.setattr(transfer, "fetch_files", fetch_then_change)
    with pytest.raises(StoreError, match=r"DigestMismatch.*changed while it was read"):
        transfer.download(place, tmp_path)


def test_a_store_that_stops_in_the_middle_leaves_no_file_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    (store / "models").mkdir(parents=True)
    with (store / "models" / "big.bin").open("wb") as file:
        file.truncate(40 * MEBIBYTE)
    with running_s3_server(store, tmp_path / "etc/modelpress/secrets") as server:
        monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
        place = at("s3://models/big.bin", server.secret("reader"))
        entry = digests.list_place(place).entries[0]
        first = threading.Event()
        counted = transfer.Transfer.advance

        def stop_after_first(self: transfer.Transfer, count: int) -> None:
            counted(self, count)
            if not first.is_set():
                first.set()
                server.stop()

        with pytest.MonkeyPatch.context() as patch, pytest.raises(StoreError) as caught:
            patch.setattr(transfer.Transfer, "advance", stop_after_first)
            transfer.fetch_files(place, {entry: tmp_path / "into" / "big.bin"})
    assert first.is_set()
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert list((tmp_path / "into").iterdir()) == []


def test_a_store_that_comes_back_is_read_on(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    place = at("s3://models/digits/sub/weights.safetensors")
    chunks = digests.read_chunks(place, digests.list_place(place).entries[0])
    first = next(chunks)
    server.stop()
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: server.start())
    rest = b"".join(chunks)
    assert first + rest == (server.folder / "models/digits/sub/weights.safetensors").read_bytes()


def test_a_key_that_may_not_write_changes_nothing(server: S3Server, tmp_path: Path) -> None:
    server.secret("wrong-secret", secret="guessed")
    (tmp_path / "small").write_text("x")
    with pytest.raises(StoreError, match="AccessDenied"):
        transfer.upload({"small": tmp_path / "small"}, at("s3://artifacts/refused", "wrong-secret"))
    assert not (server.folder / "artifacts" / "refused").exists()


def test_a_full_store_is_said_to_be_full_or_unavailable_and_no_manifest_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", store], check=False).returncode
    ):
        pytest.skip("no right to mount a small disk")
    try:
        (store / "artifacts").mkdir()
        with running_s3_server(store, tmp_path / "etc/modelpress/secrets") as server:
            monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
            files = {"onnx/model.onnx": tmp_path / "onnx" / "model.onnx"}
            files["onnx/model.onnx"].parent.mkdir()
            files["onnx/model.onnx"].write_bytes(os.urandom(6 * MEBIBYTE))
            location = Location(uri="s3://artifacts/a", secret_name=server.secret("writer"))
            with pytest.raises(StoreError) as caught:
                artifacts.publish(files, a_manifest(tmp_path, files), location)
        assert caught.value.reason in {Reason.STORE_FULL, Reason.STORE_UNAVAILABLE}
        assert not list(store.rglob("manifest.json"))
    finally:
        subprocess.run(["umount", "--lazy", store], check=True)


def test_an_artifact_comes_back_as_it_was_and_any_change_in_it_is_found(server: S3Server, tmp_path: Path) -> None:
    files = {"onnx/model.onnx": tmp_path / "onnx/model.onnx", "reference.npz": tmp_path / "reference.npz"}
    files["onnx/model.onnx"].parent.mkdir()
    files["onnx/model.onnx"].write_bytes(os.urandom(9 * MEBIBYTE))
    files["reference.npz"].write_bytes(b"answers")
    location = Location(uri="s3://artifacts/team/digits", secret_name="reader")
    manifest = a_manifest(tmp_path, files)
    digest = artifacts.publish(files, manifest, location)
    assert artifacts.fetch(location, digest, tmp_path / "back") == manifest
    assert (tmp_path / "back/onnx/model.onnx").read_bytes() == files["onnx/model.onnx"].read_bytes()

    stored = server.folder / "artifacts/team/digits"
    for change in (corrupt, shorten, Path.unlink):
        before = (stored / "onnx/model.onnx").read_bytes()
        change(stored / "onnx/model.onnx")
        with pytest.raises(StoreError, match="ArtifactChanged"):
            artifacts.fetch(location, digest, tmp_path / change.__name__)
        assert not (tmp_path / change.__name__ / "onnx/model.onnx").exists()
        (stored / "onnx/model.onnx").write_bytes(before)
    corrupt(stored / "manifest.json")
    with pytest.raises(StoreError, match=r"ArtifactChanged.*manifest\.json"):
        artifacts.fetch(location, digest, tmp_path / "manifest")


def corrupt(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def a_manifest(root: Path, files: dict[str, Path]) -> Manifest:
    described = describe(root, tuple(files))
    return Manifest(artifact="a", files=described, variants={"onnx": "onnx"}, batched=True, inputs=(), outputs=())
