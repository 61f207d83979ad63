"""Where things lie: source, datasets, teachers, the artifact's folder in the store, and the Secrets that open them."""

from __future__ import annotations

from collections.abc import Mapping

from modelpress.api.data import Dataset
from modelpress.api.resources import CompressedModel, ModelArtifact
from modelpress.api.roles import TEST_ROLE
from modelpress.api.tasks import Location, PinnedLocation
from modelpress.api.teachers import teacher_role

from .installation import Installation, store_settings


class MissingFactError(ValueError):
    """A fact is missing that the manifest needs. The message names it, and what would bring it."""


def source_location(model: CompressedModel) -> Location:
    """Return where the source is."""
    return Location(uri=model.spec.source.uri, secret_name=model.spec.source.secret_name)


def dataset_location(model: CompressedModel, dataset: Dataset) -> Location:
    """Return where `dataset` is; it is opened by the source's Secret unless it names its own."""
    return Location(uri=dataset.uri, secret_name=dataset.secret_name or model.spec.source.secret_name)


def teacher_locations(model: CompressedModel) -> dict[str, Location]:
    """Return where the teachers are that stages name, by name. Each is opened by the Secret that it names itself."""
    return {
        name: Location(uri=source.uri, secret_name=source.secret_name)
        for name, source in model.spec.compression.taught_by().items()
    }


def pinned_teachers(model: CompressedModel, artifact: ModelArtifact) -> dict[str, PinnedLocation]:
    """Return where the teachers of `artifact` are and what they must hold, by name.

    Raises MissingFactError for one that was never resolved.
    """
    found = {}
    for name, location in teacher_locations(model).items():
        digest = artifact.spec.datasets.get(teacher_role(name))
        if digest is None:
            raise MissingFactError(f"teacher {name} of {model.metadata.name} has no digest yet: resolve it first")
        found[name] = pinned(location, digest)
    return found


def pinned(location: Location, digest: str) -> PinnedLocation:
    """Return `location` with what must be found there."""
    return PinnedLocation(uri=location.uri, secret_name=location.secret_name, digest=digest)


def pinned_datasets(
    model: CompressedModel, datasets: Mapping[str, Dataset], artifact: ModelArtifact
) -> dict[str, PinnedLocation]:
    """Return where `datasets` are and what they must hold, by role.

    The artifact's own digests first: it is immutable. Its spec says nothing of the test set, so that one is as last
    resolved, or as the spec pins it. Raises MissingFactError for a dataset that was never resolved.
    """
    resolved = model.status.source.datasets if model.status and model.status.source else {}
    found = {}
    for role, dataset in datasets.items():
        digest = artifact.spec.datasets.get(role) if role != TEST_ROLE else None
        digest = digest or resolved.get(role) or dataset.digest or artifact.spec.datasets.get(role)
        if digest is None:
            raise MissingFactError(f"the {role} data of {model.metadata.name} has no digest yet: resolve it first")
        found[role] = pinned(dataset_location(model, dataset), digest)
    return found


def artifact_folder(model: CompressedModel, artifact_name: str, installation: Installation) -> str:
    """Return `<store>/<namespace>/<model>-<uid>/<artifact>/`, where a new artifact goes.

    Raises MissingFactError if neither the model nor the installation names a store.
    """
    uri = store_settings(model, installation).uri
    if not uri:
        raise MissingFactError("no store is named: set spec.artifacts.uri, or artifacts.uri in the chart's values")
    owner = f"{model.metadata.name}-{model.metadata.uid}"
    return f"{uri.rstrip('/')}/{model.metadata.namespace}/{owner}/{artifact_name}/"
