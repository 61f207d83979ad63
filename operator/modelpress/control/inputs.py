"""What a spec reads, by role: source, train, validation, calibration, test; and how the pods run that read it."""

from __future__ import annotations

import hashlib

from modelpress.api import keys
from modelpress.api.data import CompressionData, Dataset
from modelpress.api.evaluation import Evaluation
from modelpress.api.spec import CompressedModelSpec
from modelpress.control.draft import Draft
from modelpress.render.installation import job_settings, store_settings


def pins(spec: CompressedModelSpec) -> dict[str, str | None]:
    """Return the digests that the spec gives, by role; None where it leaves the store to say."""
    return {"source": spec.source.digest} | {role: dataset.digest for role, dataset in datasets(spec).items()}


def datasets(spec: CompressedModelSpec) -> dict[str, Dataset]:
    """Return all datasets that the spec names, by role."""
    data, evaluation = spec.compression.data or CompressionData(), spec.evaluation or Evaluation()
    found = {role: getattr(data, role) for role in keys.LEARNING_ROLES} | {"test": evaluation.test}
    return {role: dataset for role, dataset in found.items() if dataset is not None}


def secrets(spec: CompressedModelSpec) -> list[str | None]:
    """Return the names of the Secrets that open source and datasets."""
    return [spec.source.secret_name, *(dataset.secret_name for dataset in datasets(spec).values())]


def runs_as(draft: Draft) -> str:
    """Return the digest of all that decides how a Job's pod runs, beside the work it does."""
    model, installation = draft.model, draft.installation
    settings = [job_settings(model, installation), store_settings(model, installation), installation]
    text = keys.canonical_json([[part.to_wire() for part in settings], secrets(model.spec)])
    return hashlib.sha256(text).hexdigest()
