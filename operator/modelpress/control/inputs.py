"""What a spec reads, by role: source, train, validation, calibration, test, teachers; how the pods run that read it."""

from __future__ import annotations

import hashlib

from modelpress.api import keys
from modelpress.api.data import Dataset
from modelpress.api.roles import all_datasets
from modelpress.api.source import Source
from modelpress.api.spec import CompressedModelSpec
from modelpress.api.teachers import teacher_role
from modelpress.control.draft import Draft
from modelpress.render.installation import job_settings, store_settings


def pins(spec: CompressedModelSpec) -> dict[str, str | None]:
    """Return the digests that the spec gives, by role; None where it leaves the store to say."""
    return {role: place.digest for role, place in _read(spec).items()}


def teachers(spec: CompressedModelSpec) -> dict[str, Source]:
    """Return the models that stages of the spec learn from, by role."""
    return {teacher_role(name): source for name, source in spec.compression.taught_by().items()}


def secrets(spec: CompressedModelSpec) -> list[str | None]:
    """Return the names of the Secrets that open source, datasets and teachers."""
    return [place.secret_name for place in _read(spec).values()]


def _read(spec: CompressedModelSpec) -> dict[str, Source | Dataset]:
    """Return everything that the spec reads, by role."""
    return {"source": spec.source, **all_datasets(spec), **teachers(spec)}


def runs_as(draft: Draft) -> str:
    """Return the digest of all that decides how a Job's pod runs, beside the work it does."""
    model, installation = draft.model, draft.installation
    settings = [job_settings(model, installation), store_settings(model, installation), installation]
    text = keys.canonical_json([[part.to_wire() for part in settings], secrets(model.spec)])
    return hashlib.sha256(text).hexdigest()
