"""From a ServedModel to files in Triton's model repository: fetched, checked by digest, configured, put in place.

What was fetched stays below `.fetched/<manifest digest>` in the repository's volume and is hashed again when the agent
restarts: so a pod needs its store once. The model's files in the repository are links to it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

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

FETCHED = ".fetched"
MARK = "served.json"
"""Beside config.pbtxt: the ServedModel that this folder was made from."""


@dataclass(frozen=True)
class Prepared:
    """A model whose files lie in the repository."""

    model: ServedModel
    """What was asked for."""
    manifest: Manifest
    """Of its artifact."""
    reference: Reference
    """The judge's answers."""


def prepare(model: ServedModel, folder: Path, task: AgentTask) -> Prepared:
    """Bring `model` into the repository `folder`. Blocks.

    Raises AgentError: what the store says, ArtifactChanged if the files are not what was accepted, ModelLoadFailed if
    Triton cannot be configured for the model.
    """
    try:
        fetched = folder / FETCHED / model.manifest_digest.partition(":")[2]
        described = _kept(model, fetched) or _fetch(model, fetched)
        answers = reference.read(fetched / described.reference)
        if not _in_place(model, folder):
            _put(model, described, fetched, folder, task)
    except StoreError as error:
        raise AgentError(error.reason, error.message) from error
    except ValueError as error:
        raise AgentError(Reason.MODEL_LOAD_FAILED, f"{model.name} cannot be served: {error}") from error
    except OSError as error:
        raise AgentError(Reason.OUT_OF_SCRATCH, f"{model.name} cannot be written to {folder}: {error}") from error
    return Prepared(model, described, answers)


def forget(name: str, folder: Path) -> None:
    """Take the model `name` out of the repository `folder`. What was fetched for it stays."""
    repository.remove(folder, name)


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


def _put(model: ServedModel, described: Manifest, fetched: Path, folder: Path, task: AgentTask) -> None:
    backend = Backend(task.backend)
    text = config.config(
        model.name,
        described,
        backend,
        threads=task.threads,
        version=model.version,
        max_batch_size=model.max_batch_size,
        queue_delay_microseconds=model.max_queue_delay_microseconds,
    )
    files = fetched / described.variants[manifest.ONNX]
    written = repository.write(folder, model.name, model.version, config=text, files=files, backend=backend)
    (written / MARK).write_text(model.model_dump_json(), encoding="utf-8")


def _in_place(model: ServedModel, folder: Path) -> bool:
    try:
        return (folder / model.name / MARK).read_text(encoding="utf-8") == model.model_dump_json()
    except OSError:
        return False
