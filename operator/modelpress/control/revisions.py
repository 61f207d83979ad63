"""The ModelRevision that the spec asks for: one that was made before if any fits, a new one if none does.

A revision keeps the pod template it was rendered with. So a revision fits if artifact, files and everything the user
says of serving are the same, whatever image and renderer it was made by: an upgrade of the operator finds every
revision fitting, and restarts nothing. What was said of serving is kept in the user's words as well as by its key: the
key leaves out what is the default, which a later version may see differently.
"""

from __future__ import annotations

import hashlib

from pydantic import ValidationError

from modelpress.api import gates, keys, names
from modelpress.api.base import API_VERSION, ApiType
from modelpress.api.evaluation import Evaluation, MeasuredOn
from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelArtifact, ModelRevision, ModelRevisionSpec, Rejection
from modelpress.api.rollout import Rollout, Strategy
from modelpress.api.serving import Serving
from modelpress.api.spec import Artifacts
from modelpress.control import clock, marks, reading
from modelpress.control.draft import Draft
from modelpress.control.plan import Manifest
from modelpress.control.standing import Course, Standing
from modelpress.control.traffic import serving_now
from modelpress.render.metadata import metadata
from modelpress.render.serving import models_json, pod_template


def wanted_revision(draft: Draft, artifact: ModelArtifact, serving_now: str | None) -> ModelRevision | Standing:
    """Return the revision that is to serve `artifact`, or why it is not there yet.

    `serving_now` names the one that serves.
    """
    serving = _serving_key(draft, artifact)
    fitting = [revision for revision in all_revisions(draft) if _fits(draft, artifact, revision, serving)]
    key = _key_of_new(draft, artifact)
    chosen = _choose(draft, fitting, serving_now, names.keyed_name(draft.model.metadata.name, key))
    if chosen is not None:
        return chosen
    if draft.suspended:
        return Standing(Course.HELD, Reason.SUSPENDED, "spec.suspend is set: nothing new is started.")
    manifest = _manifest(draft, artifact, key)
    draft.apply(manifest, once=True)
    return Standing(Course.MOVING, Reason.STARTING, f"Preparing the revision {manifest['metadata']['name']}.")


def all_revisions(draft: Draft) -> list[ModelRevision]:
    """Return the model's revisions that can be read and are there to stay, the newest first."""
    living = [manifest for manifest in draft.observed.of_kind("ModelRevision") if not draft.is_going(manifest)]
    living.sort(
        key=lambda item: (item["metadata"].get("creationTimestamp", ""), item["metadata"]["name"]), reverse=True
    )
    return [revision for manifest in living if (revision := reading.read_revision(manifest)) is not None]


def rejection_of(draft: Draft, revision: ModelRevision) -> Rejection | None:
    """Return why `revision` is not to be tried again, if that still holds."""
    rejected = revision.status.rejected if revision.status else None
    return rejected if rejected is not None and rejected.judged_by == verdict_key(draft) else None


def served_at(draft: Draft, revision: ModelRevision) -> str | None:
    """Return when all traffic last went over to `revision`: just now, if it has it and another one had it later."""
    own = revision.status.served_at if revision.status else None
    if serving_now(draft.observed) != revision.metadata.name:
        return own
    others = (item.status.served_at for item in all_revisions(draft) if item.status and item.status.served_at)
    return own if own is not None and own >= max(others, default="") else clock.show(draft.now)


def verdict_key(draft: Draft, retry_token: str | None = None) -> str:
    """Return what a verdict on a revision depends on beside the revision.

    The word to try again, the limits, and where there are gates on the serving runtime, those and their test data. And
    whether it was to be loaded into pods that are there, where it may fail for their sake. `retry_token`: the word that
    the attempt began with; default: the present one.
    """
    asked = draft.model.spec.rollout or Rollout()
    limits = Rollout(analysis=asked.analysis, progress_deadline=asked.progress_deadline).to_wire()
    token = draft.rollout.retry_token if retry_token is None else retry_token
    in_place = [Strategy.IN_PLACE.value] if asked.strategy is Strategy.IN_PLACE else []
    parts = ["revision", token, *([limits] if limits else []), *_gates(draft), *in_place]
    return hashlib.sha256(keys.canonical_json(parts)).hexdigest()


def _gates(draft: Draft) -> list[str]:
    spec, source = draft.model.spec, draft.old.source
    if not gates.measured_on(MeasuredOn.SERVING_RUNTIME, (spec.evaluation or Evaluation()).gates):
        return []
    return [keys.gates_key(spec, source.datasets if source is not None else {})]


def _fits(draft: Draft, artifact: ModelArtifact, revision: ModelRevision, serving: str) -> bool:
    manifest = draft.observed.find("ModelRevision", revision.metadata.name)
    digest = artifact.status.manifest_digest if artifact.status else None
    return (
        manifest is not None
        and revision.spec.artifact == artifact.metadata.name
        and revision.spec.manifest_digest == digest
        and serving in (marks.mark(manifest, marks.SERVING), _key_of_words(draft, artifact, manifest))
    )


def _choose(
    draft: Draft, fitting: list[ModelRevision], serving_now: str | None, name_of_new: str
) -> ModelRevision | None:
    """Return which of `fitting` to serve.

    What serves now, else what was not rejected, else what a new one would be called.
    """
    by_name = {revision.metadata.name: revision for revision in fitting}
    if serving_now in by_name:
        return by_name[serving_now]
    unrejected = [revision for revision in fitting if rejection_of(draft, revision) is None]
    return unrejected[0] if unrejected else by_name.get(name_of_new)


def _serving_key(draft: Draft, artifact: ModelArtifact) -> str:
    return keys.revision_key(artifact.metadata.name, draft.model.spec, runtime_image="")


def _key_of_new(draft: Draft, artifact: ModelArtifact) -> str:
    """Return the key of a revision made now.

    Files that were made again under the same key need a revision of their own.
    """
    image = draft.installation.images.triton
    key = keys.revision_key(artifact.metadata.name, draft.model.spec, runtime_image=image)
    digest = (artifact.status.manifest_digest if artifact.status else None) or ""
    taken = draft.revision(names.keyed_name(draft.model.metadata.name, key))
    if taken is not None and taken.spec.manifest_digest != digest:
        return hashlib.sha256(f"{key}/{digest}".encode()).hexdigest()
    return key


def _manifest(draft: Draft, artifact: ModelArtifact, key: str) -> Manifest:
    name = names.keyed_name(draft.model.metadata.name, key)
    digest = artifact.status.manifest_digest if artifact.status else None
    assert digest is not None, "a revision is made of an artifact that is in the store"
    spec = ModelRevisionSpec(
        key=key,
        artifact=artifact.metadata.name,
        manifest_digest=digest,
        pod_template=pod_template(draft.model, artifact, name, draft.installation),
        models=models_json(draft.model, artifact, draft.installation),
    )
    manifest = {
        "apiVersion": API_VERSION,
        "kind": "ModelRevision",
        "metadata": metadata(name, draft.model, revision=name, artifact=artifact.metadata.name),
        "spec": spec.to_wire(),
    }
    return marks.marked(manifest, {marks.SERVING: _serving_key(draft, artifact), marks.ASKED: _words(draft)})


class _Asked(ApiType):
    """What of the spec decides how a model is served."""

    serving: Serving | None = None
    artifacts: Artifacts | None = None


def _words(draft: Draft) -> str:
    """Return what the user says of serving, the number of pods and the way in aside, which are no revision's matter."""
    spec = draft.model.spec
    gone = {"replicas": None, "autoscaling": None, "gateway": None}
    serving = spec.serving.model_copy(update=gone) if spec.serving else None
    return keys.canonical_json(_Asked(serving=serving, artifacts=spec.artifacts).to_wire()).decode()


def served_alike(draft: Draft, one: str, other: str) -> str | None:
    """Return in a sentence's part why pods made for revision `one` are not such as `other` asks for; None: they are.

    Whatever image and renderer each was made by: the user asked for the same.
    """
    said = [_asked(item) if (item := draft.observed.find("ModelRevision", name)) else None for name in (one, other)]
    if said[0] is None or said[1] is None:
        return f"it is not known whether {one} and {other} are to be served alike"
    if _key_of(draft, "", said[0]) == _key_of(draft, "", said[1]):
        return None
    first, second = ({**(asked.serving.to_wire() if asked.serving else {})} for asked in said if asked is not None)
    fields = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    told = " and ".join(f"serving.{name}" for name in fields) or "artifacts"
    return f"{one} and {other} differ in spec.{told}"


def _key_of_words(draft: Draft, artifact: ModelArtifact, manifest: Manifest) -> str | None:
    """Return the key, as keys are reckoned now, of what the user said when this revision was made; None: not known."""
    asked = _asked(manifest)
    return _key_of(draft, artifact.metadata.name, asked) if asked is not None else None


def _asked(manifest: Manifest) -> _Asked | None:
    """Return what the user said of serving when this revision was made, if that can be read."""
    try:
        return _Asked.model_validate_json(marks.mark(manifest, marks.ASKED))
    except ValidationError:
        return None


def _key_of(draft: Draft, artifact: str, asked: _Asked) -> str:
    words = draft.model.spec.model_copy(update={"serving": asked.serving, "artifacts": asked.artifacts})
    return keys.revision_key(artifact, words, runtime_image="")
