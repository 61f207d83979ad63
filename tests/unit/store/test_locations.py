"""A mounted Secret becomes a filesystem's options; what is missing is said in a sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from modelpress.api.reasons import Reason
from modelpress.api.tasks import Location
from modelpress.store.errors import StoreError
from modelpress.store.locations import ROOT_VARIABLE, open_place, read_secret, storage_options


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "etc/modelpress/secrets"
    folder.mkdir(parents=True)
    return folder


def test_keys_of_a_secret_become_options_of_s3() -> None:
    options = storage_options(
        "s3",
        {"accessKeyId": "id", "secretAccessKey": "key", "sessionToken": "t", "endpointUrl": "http://s", "region": "eu",
         "option.requester_pays": "true"},
    )  # fmt: skip
    wanted = {"key": "id", "secret": "key", "token": "t", "endpoint_url": "http://s", "requester_pays": True}
    assert options.items() >= wanted.items()
    assert options["client_kwargs"] == {"region_name": "eu"}
    assert options["use_listings_cache"] is False
    assert "anon" not in options


def test_a_bundle_of_certificates_is_given_to_the_client() -> None:
    options = storage_options("s3", {"accessKeyId": "id", "secretAccessKey": "key", "caBundle": "-----BEGIN"})
    assert Path(options["client_kwargs"]["verify"]).read_text().strip() == "-----BEGIN"


@pytest.mark.usefixtures("secrets")
def test_without_a_secret_the_pods_identity_is_used_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert storage_options("s3", None)["anon"] is True
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/x")
    assert storage_options("s3", None)["anon"] is False


def test_kubernetes_own_files_in_a_mounted_secret_are_no_keys(secrets: Path) -> None:
    hidden = secrets / "read" / "..2026"
    hidden.mkdir(parents=True)
    (hidden / "accessKeyId").write_text("id\n")
    (secrets / "read" / "..data").symlink_to("..2026")
    (secrets / "read" / "accessKeyId").symlink_to("..data/accessKeyId")
    assert read_secret("read") == {"accessKeyId": "id"}


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir()])
def test_an_absent_or_empty_secret_is_not_found(secrets: Path, make: object) -> None:
    assert callable(make)
    make(secrets / "read")
    with pytest.raises(StoreError) as caught:
        open_place(Location(uri="s3://a/b", secret_name="read"))
    assert caught.value.reason is Reason.SECRET_NOT_FOUND
    assert "read" in caught.value.message


@pytest.mark.parametrize(
    ("uri", "says"), [("ftp://a/b", "no store is known as ftp"), ("abfs://a/b", "lacks the package adlfs")]
)
def test_a_store_that_cannot_be_opened_says_what_is_missing(
    uri: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(StoreError, match=says):
        open_place(Location(uri=uri))
