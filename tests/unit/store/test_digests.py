"""Digests say what lies in a place, the same for everybody, and no path leads out of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from modelpress.api.reasons import Reason
from modelpress.api.tasks import Location
from modelpress.store import transfer
from modelpress.store.digests import Entry, Listing, check_path, content_digest, list_place
from modelpress.store.errors import StoreError
from modelpress.store.locations import Place, file_name, open_place


def local(path: Path) -> Place:
    return open_place(Location(uri=f"file://{path}"))


def test_one_file_has_the_digest_that_sha256sum_prints(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"content")
    assert transfer.resolve(local(tmp_path / "a.npz")) == "sha256:" + hashlib.sha256(b"content").hexdigest()


def test_a_folder_has_the_digest_of_its_sha256sum_lines(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"1")
    (tmp_path / "B").write_bytes(b"2")
    lines = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in (("B", b"2"), ("b/c", b"1"))
    )
    assert transfer.resolve(local(tmp_path)) == "sha256:" + hashlib.sha256(lines.encode()).hexdigest()


def test_names_belong_to_the_content_of_a_folder() -> None:
    assert content_digest({"a": "00", "b": "11"}) != content_digest({"a": "11", "b": "00"})


def test_a_listing_without_one_checksum_has_no_digest() -> None:
    whole = Listing((Entry("a", 1, "x"), Entry("b", 2, "y")))
    assert whole.digest is not None and whole.digest.startswith("listing-sha256:")
    assert Listing((Entry("a", 1, "x"), Entry("b", 2, None))).digest is None
    assert Listing((Entry("a", 1, "x"), Entry("b", 3, "y"))).digest != whole.digest


@pytest.mark.parametrize("path", ["../a", "/a", "a/../b", "a//b", "./a", "a\\b", "a\nb", "a/"])
def test_a_path_that_could_lead_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(StoreError, match="SourceInvalid"):
        check_path(path, "s3://x/")


def test_a_name_in_the_store_cannot_put_a_file_outside(tmp_path: Path) -> None:
    class Evil:
        def find(self, path: str, detail: bool) -> dict[str, dict[str, object]]:
            return {f"{path}/../../x": {"type": "file", "size": 1, "name": "x"}}

        def invalidate_cache(self) -> None: ...

    with pytest.raises(StoreError, match=r"SourceInvalid.*unusable path"):
        transfer.download(Place(Evil(), "models", "s3://models/"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_empty_place_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        list_place(open_place(Location(uri=f"file://{tmp_path}/")), Reason.DATASET_NOT_FOUND)
    assert caught.value.reason is Reason.DATASET_NOT_FOUND


def test_the_name_of_a_file_is_the_end_of_its_uri() -> None:
    assert file_name("s3://bucket/data/test.npz") == "test.npz"
    assert file_name("s3://bucket/models/digits/") == "digits"
