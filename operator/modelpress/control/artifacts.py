"""The ModelArtifact that the spec asks for: found if it was ever made, created if not.

Its key leaves out what is said and is the default. So a later version, with another default, has another key for a spec
that says the one or the other, and the same words still ask for what was made of them: an artifact also fits if what
it was made from has, by this version's reckoning, the key that is wanted.
"""

from __future__ import annotations

from typing import Any

from modelpress.api import keys, names
from modelpress.api.base import API_VERSION
from modelpress.api.evaluation import Evaluation
from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelArtifact, ModelArtifactSpec, SourceStatus
from modelpress.api.roles import LEARNING_ROLES
from modelpress.control.draft import Draft
from modelpress.control.inputs import teachers
from modelpress.control.plan import Manifest
from modelpress.control.standing import Course, Standing
from modelpress.render.metadata import metadata
from modelpress.render.places import artifact_folder


def artifact_key(draft: Draft, source: SourceStatus) -> str:
    """Return the key of the artifact that the spec asks for, given what the URIs hold. Its recipe is no ladder."""
    return keys.artifact_key(draft.model.spec, source.resolved_digest, source.datasets)


def artifact_name(draft: Draft, key: str) -> str:
    """Return the name of the artifact with that key.

    The one in use, if it fits; else the one named so; else any that fits; else what a new one will be called.
    """
    named = names.keyed_name(draft.model.metadata.name, key)
    if draft.old.artifact and _was_made_for(draft, draft.old.artifact, key):
        return draft.old.artifact
    if draft.observed.find("ModelArtifact", named) is not None:
        return named
    every = sorted(str(manifest["metadata"]["name"]) for manifest in draft.observed.of_kind("ModelArtifact"))
    return next((name for name in every if _was_made_for(draft, name, key)), named)


def wanted_artifact(draft: Draft, source: SourceStatus, key: str, name: str) -> ModelArtifact | Standing:
    """Return the artifact of that name, or why it is not there yet."""
    found = draft.observed.find("ModelArtifact", name)
    if found is not None and not draft.is_going(found):
        artifact = draft.artifact(name)
        return artifact if artifact is not None else _illegible(name)
    if draft.suspended:
        return Standing(Course.HELD, Reason.SUSPENDED, "spec.suspend is set: nothing new is compressed.")
    draft.apply(_manifest(draft, source, name, key), once=True)
    return Standing(Course.MOVING, Reason.COMPRESSING, f"Preparing the compression of {name}.")


def earlier_search(draft: Draft, artifact: ModelArtifact) -> ModelArtifact | None:
    """Return an artifact in the store whose recipe was searched for as this one's is to be, but with other gates."""
    spec = artifact.spec
    if spec.compression.auto is None:
        return None
    gates = spec.evaluation.gates if spec.evaluation is not None else None
    names = sorted(str(manifest["metadata"]["name"]) for manifest in draft.observed.of_kind("ModelArtifact"))
    for name in names:
        found = draft.artifact(name) if name != artifact.metadata.name else None
        published = found is not None and found.status is not None and found.status.manifest_digest is not None
        if published and _was_made_for(draft, name, spec.key, Evaluation(gates=gates)):
            return found
    return None


def _was_made_for(draft: Draft, name: str, key: str, gated: Evaluation | None = None) -> bool:
    """Say whether what that artifact was made from has this key, as keys are reckoned now.

    `gated`: as if its gates had been these.
    """
    manifest = draft.observed.find("ModelArtifact", name)
    found = draft.artifact(name)
    if manifest is None or found is None or draft.is_going(manifest):
        return False
    made = found.spec
    then: dict[str, Any] = {"source": made.source, "compression": made.compression}
    if made.compression.auto is not None:
        evaluation = made.evaluation
        if gated is not None:
            evaluation = (evaluation or Evaluation()).model_copy(update={"gates": gated.gates})
        then["evaluation"] = evaluation
    words = draft.model.spec.model_copy(update=then)
    return keys.artifact_key(words, made.source_digest, made.datasets) == key


def _manifest(draft: Draft, source: SourceStatus, name: str, key: str) -> Manifest:
    learned = (*LEARNING_ROLES, *teachers(draft.model.spec))
    spec = ModelArtifactSpec(
        key=key,
        source=draft.model.spec.source,
        source_digest=source.resolved_digest,
        compression=draft.recipe,
        evaluation=draft.model.spec.evaluation if draft.recipe.auto is not None else None,
        datasets={role: source.datasets[role] for role in learned if role in source.datasets},
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
