"""Our own resources, read as types. What another version of the operator wrote there must not stop this one.

The spec of a model is read strictly: the user is told what is wrong with it. Statuses, and artifacts and revisions of
the past, are read for what this version understands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from modelpress.api.base import ApiType
from modelpress.api.resources import (
    CompressedModel,
    CompressedModelStatus,
    ModelArtifact,
    ModelArtifactStatus,
    ModelRevision,
    ModelRevisionStatus,
)
from modelpress.control.plan import Manifest

Kind = TypeVar("Kind", bound=ApiType)


def read_model(manifest: Manifest) -> CompressedModel:
    """Return the model. Raises ValidationError for a spec that says something it may not."""
    status = lenient(CompressedModelStatus, manifest.get("status") or {})
    bare = CompressedModel.model_validate({"metadata": manifest["metadata"], "spec": manifest["spec"]})
    return bare.model_copy(update={"status": status})


def read_artifact(manifest: Manifest) -> ModelArtifact | None:
    """Return the artifact; None if this version cannot read it."""
    try:
        bare = ModelArtifact.model_validate({"metadata": manifest["metadata"], "spec": manifest["spec"]})
    except ValidationError:
        return None
    return bare.model_copy(update={"status": lenient(ModelArtifactStatus, manifest.get("status") or {})})


def read_revision(manifest: Manifest) -> ModelRevision | None:
    """Return the revision; None if this version cannot read it."""
    try:
        bare = ModelRevision.model_validate({"metadata": manifest["metadata"], "spec": manifest["spec"]})
    except ValidationError:
        return None
    return bare.model_copy(update={"status": lenient(ModelRevisionStatus, manifest.get("status") or {})})


def lenient(kind: type[Kind], wire: Mapping[str, Any]) -> Kind:
    """Return `wire` as `kind`, without the fields that cannot be read. All fields of `kind` must have defaults."""
    known = {field.alias or name for name, field in kind.model_fields.items()}
    legible = {name: value for name, value in wire.items() if name in known}
    try:
        return kind.model_validate(legible)
    except ValidationError as error:
        broken = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
        return kind.model_validate({name: value for name, value in legible.items() if name not in broken})
