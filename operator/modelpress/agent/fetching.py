"""From a ServedModel to a version in Triton's model repository: fetched, checked by digest, configured, put in place.

What was fetched stays in `fetched/<manifest digest>` beside the repository and is hashed again when the agent restarts:
so a pod needs its store once. The model's files in the repository are links to it.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from modelpress.api.reasons import Reason
from modelpress.api.servingpod import ServedModel
from modelpress.api.tasks import AgentTask, Location
from modelpress.store import artifacts, manifest, reference
from modelpress.store.errors import StoreError
from modelpress.store.manifest import Manifest
from modelpress.store.reference import Reference
from modelpress.triton import config, repository
from modelpress.triton.config import Backend

from .failure import AgentError
from .settings import Settings


@dataclass(frozen=True)
class Prepared:
    """A model whose files lie in the pod."""

    model: ServedModel
    """What was asked for."""
    manifest: Manifest
    """Of its artifact."""
    reference: Reference
    """The judge's answers."""


def prepare(model: ServedModel, settings: Settings) -> Prepared:
    """Fetch what `model` is made of, unless it is there. Blocks.

    Raises AgentError: what the store says, ArtifactChanged if the files are not what was accepted, ModelLoadFailed if
    Triton cannot be configured for the model.
    """
    try:
        fetched = _folder(model, settings)
        described = _kept(model, fetched) or _fetch(model, fetched)
        found = Prepared(model, described, reference.read(fetched / described.reference))
        configured(found, settings.task, (model.version,))
    except StoreError as error:
        raise AgentError(error.reason, error.message) from error
    except ValueError as error:
        raise AgentError(Reason.MODEL_LOAD_FAILED, f"{model.name} cannot be served: {error}") from error
    except OSError as error:
        raise AgentError(Reason.OUT_OF_SCRATCH, f"{model.name} cannot be written to {fetched}: {error}") from error
    return found


def configured(prepared: Prepared, task: AgentTask, versions: Iterable[int]) -> str:
    """Return config.pbtxt for `versions` of a model, if all of them are such as `prepared`."""
    model = prepared.model
    return config.config(
        model.name,
        prepared.manifest,
        Backend(task.backend),
        threads=task.threads,
        versions=versions,
        max_batch_size=model.max_batch_size,
        queue_delay_microseconds=model.max_queue_delay_microseconds,
    )


def place(prepared: Prepared, settings: Settings, versions: Iterable[int]) -> None:
    """Put the model into the repository and have Triton load `versions`, this one among them. Blocks.

    Raises AgentError: there is no room for the files.
    """
    model = prepared.model
    files = _folder(model, settings) / prepared.manifest.variants[manifest.ONNX]
    text = configured(prepared, settings.task, versions)
    try:
        repository.put(
            settings.repository,
            model.name,
            model.version,
            config=text,
            files=files,
            backend=Backend(settings.task.backend),
            mark=model.model_dump_json(),
        )
    except OSError as error:
        told = f"{model.name} cannot be written to {settings.repository}: {error}"
        raise AgentError(Reason.OUT_OF_SCRATCH, told) from error


def placed(name: str, settings: Settings) -> dict[int, ServedModel | None]:
    """Return the versions of a model that are in the repository, and what they were made from if that can be read."""
    return {version: _parsed(mark) for version, mark in repository.marks(settings.repository, name).items()}


def keep_only(models: Collection[ServedModel], settings: Settings) -> None:
    """Remove what was fetched for others than `models`."""
    needed = {_folder(model, settings).name for model in models}
    for folder in settings.fetched.iterdir() if settings.fetched.exists() else ():
        if folder.name not in needed:
            shutil.rmtree(folder, ignore_errors=True)


def _folder(model: ServedModel, settings: Settings) -> Path:
    return settings.fetched / model.manifest_digest.partition(":")[2]


def _kept(model: ServedModel, fetched: Path) -> Manifest | None:
    """Return the manifest of what was fetched before, if all of it is still as it was."""
    try:
        found = manifest.parse((fetched / manifest.FILE_NAME).read_bytes(), model.manifest_digest, model.uri)
        needed = (*found.below(found.variants[manifest.ONNX]), *(f for f in found.files if f.path == found.reference))
        manifest.verify(fetched, needed, model.uri)
    except (OSError, StoreError, KeyError):
        return None
    return found


def _fetch(model: ServedModel, fetched: Path) -> Manifest:
    shutil.rmtree(fetched, ignore_errors=True)
    fetched.mkdir(parents=True)
    location = Location(uri=model.uri, secret_name=model.secret_name)
    found = artifacts.fetch(location, model.manifest_digest, fetched, (manifest.ONNX, artifacts.REFERENCE))
    (fetched / manifest.FILE_NAME).write_bytes(manifest.encode(found))
    return found


def _parsed(mark: str) -> ServedModel | None:
    try:
        return ServedModel.model_validate_json(mark)
    except ValidationError:
        return None
