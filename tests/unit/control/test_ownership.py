"""Whose an object is."""

from __future__ import annotations

from typing import Any

import pytest

from modelpress.control.ownership import OwnerlessManifestError, is_ours, is_predecessors


def owned(*owners: tuple[str, str], kind: str = "CompressedModel") -> dict[str, Any]:
    references = [{"apiVersion": "v1", "kind": kind, "name": name, "uid": uid} for name, uid in owners]
    metadata = {"name": "a", "namespace": "n", "ownerReferences": references}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def test_an_object_is_ours_if_one_of_its_owners_is_ours() -> None:
    assert is_ours(owned(("digits", "1")), owned(("other", "2"), ("digits", "1")))
    assert not is_ours(owned(("digits", "1")), owned(("digits", "2")))
    assert not is_ours(owned(("digits", "1")), owned())


def test_what_an_earlier_owner_of_that_name_left_is_told_from_what_is_anothers() -> None:
    assert is_predecessors(owned(("digits", "1")), owned(("digits", "2")))
    assert not is_predecessors(owned(("digits", "1")), owned(("digits", "2"), kind="Other"))
    assert not is_predecessors(owned(("digits", "1")), owned())


def test_a_wish_without_an_owner_is_a_mistake() -> None:
    with pytest.raises(OwnerlessManifestError):
        is_ours(owned(), owned(("digits", "1")))
