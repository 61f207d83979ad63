"""The ModelArtifact that the spec asks for: found if it was ever made, created if not."""

from __future__ import annotations

from modelpress.api import keys, names
from modelpress.api.base import API_VERSION
from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelArtifact, ModelArtifactSpec, SourceStatus
from modelpress.control.draft import Draft
from modelpress.control.plan import Manifest
from modelpress.control.standing import Course, Standing
from modelpress.render.metadata import metadata
from modelpress.render.places import artifact_folder


def artifact_key(draft: Draft, source: SourceStatus) -> str:
    """Return the key of the artifact that the spec asks for, given what the URIs hold."""
    return keys.artifact_key(draft.model.spec, source.resolved_digest, source.datasets)


def wanted_artifact(draft: Draft, source: SourceStatus, key: str) -> ModelArtifact | Standing:
    """Return the artifact with that key, or why it is not there yet."""
    name = names.keyed_name(draft.model.metadata.name, key)
    found = draft.observed.find("ModelArtifact", name)
    if found is not None and not draft.is_going(found):
        artifact = draft.artifact(name)
        return artifact if artifact is not None else _illegible(name)
    if draft.suspended:
        return Standing(Course.HELD, Reason.SUSPENDED, "spec.suspend is set: nothing new is compressed.")
    draft.apply(_manifest(draft, source, name, key), once=True)
    return Standing(Course.MOVING, Reason.COMPRESSING, f"Preparing the compression of {name}.")


def _manifest(draft: Draft, source: SourceStatus, name: str, key: str) -> Manifest:
    spec = ModelArtifactSpec(
        key=key,
        source=draft.model.spec.source,
        source_digest=source.resolved_digest,
        compression=draft.model.spec.compression,
        datasets={role: source.datasets[role] for role in keys.LEARNING_ROLES if role in source.datasets},
        destination=artifact_folder(draft.model, name, draft.installation),
    )
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelArtifact",
        "metadata": metadata(name, draft.model, artifact=name),
        "spec": spec.to_wire(),
    }


def _illegible(name: str) -> Standing:
    message = (
        f"The ModelArtifact {name} was written by another version of modelpress and cannot be read by this one; "
        f"delete it to have it made again."
    )
    return Standing(Course.STUCK, Reason.OPERATOR_ERROR, message)
