"""The Job that says what the URIs of source, data and teachers hold now."""

from __future__ import annotations

from typing import Any

from modelpress.api.keys import resolution_key
from modelpress.api.names import ROLE_RESOLVE
from modelpress.api.resources import CompressedModel
from modelpress.api.roles import all_datasets
from modelpress.api.tasks import ResolveTask

from ..installation import Installation, job_settings
from ..places import dataset_location, source_location, teacher_locations
from .job import job, mover

RESOLVE_DEADLINE_SECONDS = 1800
"""A listing takes seconds; content has to be read where the store has no checksums."""


def resolve_job(model: CompressedModel, installation: Installation, suffix: str = "") -> dict[str, Any]:
    """Return the Job that resolves the URIs of `model`, named `<model>-resolve-<key><suffix>`.

    The key changes with the URIs and the pinned digests, so that an answer always is to the question that was asked.
    """
    task = ResolveTask(
        source=source_location(model),
        datasets={role: dataset_location(model, dataset) for role, dataset in all_datasets(model.spec).items()},
        teachers=teacher_locations(model),
    )
    secrets = [place.secret_name for place in (task.source, *task.datasets.values(), *task.teachers.values())]
    return job(
        f"{model.metadata.name}-resolve-{resolution_key(model.spec)[:8]}{suffix}",
        model,
        installation,
        job_settings(model, installation),
        role=ROLE_RESOLVE,
        owner=model,
        artifact=None,
        deadline_seconds=RESOLVE_DEADLINE_SECONDS,
        containers=[mover("resolve", task, installation, secrets=secrets, all_secrets=secrets)],
        volumes=(),
        secrets=secrets,
        annotations={},
    )
