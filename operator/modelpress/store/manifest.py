"""manifest.json of an artifact: what it holds and where it came from.

Written last, after all other files; whoever has its digest can check all else.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from modelpress.api.base import ApiType, Digest
from modelpress.api.reasons import Reason

from .digests import CONTENT, check_path, hash_file
from .errors import StoreError

FILE_NAME = "manifest.json"
ONNX, ORIGINAL = "onnx", "original"
"""Folders: the compressed model as ONNX, and the source as ONNX, which later evaluations compare with."""
MODEL_FILE = "model.onnx"
REPORT_FILE = "report.json"
PAGE_FILE = "report.html"
REFERENCE_FILE = "reference.npz"
COMPRESSION_FILE = "compression.json"
ASSETS = "assets"
LARGEST = 16 * 1024 * 1024
"""Most bytes of a manifest."""


class ManifestFile(ApiType):
    """One file of the artifact."""

    path: str
    """Relative to the artifact's folder."""
    size: Annotated[int, Field(ge=0)]
    """Bytes."""
    digest: Digest
    """`sha256:` of the content."""


class Tensor(ApiType):
    """One input or output of the model, as the runtime reports it."""

    name: str
    """As in the ONNX file."""
    dtype: str
    """numpy's name of the element type: `float32`."""
    shape: tuple[int, ...]
    """Sizes of the axes, -1 where dynamic; the batch axis is the first, if the model is batched."""


class Manifest(ApiType):
    """All of an artifact."""

    schema_version: Literal[1] = 1
    """Readers refuse any other."""
    artifact: str
    """Name of the ModelArtifact."""
    files: tuple[ManifestFile, ...]
    """All files but the manifest itself, sorted by path."""
    variants: dict[str, str]
    """Folder of each form that the model is served from: `{onnx: onnx}`."""
    original: str = ORIGINAL
    """Folder of the original as ONNX."""
    reference: str = REFERENCE_FILE
    """File of the reference answers."""
    report: str = REPORT_FILE
    """File of the judge's report; `report.html` beside it shows it to people."""
    batched: bool
    """Whether the first axis of every input and output is dynamic: the batch."""
    inputs: tuple[Tensor, ...]
    """Inputs of the model."""
    outputs: tuple[Tensor, ...]
    """Outputs of the model."""
    lineage: dict[str, str] = Field(default_factory=dict)
    """Digests of source, recipe and data, and the images that made it."""
    assets: tuple[str, ...] = ()
    """Files that were carried over from the source, relative to the artifact's folder."""

    def below(self, folder: str) -> tuple[ManifestFile, ...]:
        """Return the files below `folder`."""
        return tuple(file for file in self.files if file.path.startswith(folder.rstrip("/") + "/"))


def encode(manifest: Manifest) -> bytes:
    """Return the one form in which a manifest is written."""
    return (manifest.model_dump_json(by_alias=True, indent=1) + "\n").encode()


def digest_of(content: bytes) -> str:
    """Return the content digest of `content`."""
    return CONTENT + hashlib.sha256(content).hexdigest()


def parse(content: bytes, digest: Digest, uri: str) -> Manifest:
    """Return the manifest in `content`. Raises StoreError with ArtifactChanged unless it hashes to `digest`."""
    if digest_of(content) != digest:
        raise StoreError(
            Reason.ARTIFACT_CHANGED,
            f"{FILE_NAME} at {uri} is not the accepted one: restore it, or compress again with retryToken",
        )
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"])) or "it is no JSON"
        raise StoreError(
            Reason.ARTIFACT_CHANGED,
            f"{FILE_NAME} at {uri} is damaged, or of another version ({field}): compress again with retryToken",
        ) from error
    for file in manifest.files:
        check_path(file.path, uri)
    return manifest


def describe(root: Path, paths: tuple[str, ...]) -> tuple[ManifestFile, ...]:
    """Return size and digest of the files at `paths` below `root`, sorted by path."""
    return tuple(
        ManifestFile(path=path, size=(root / path).stat().st_size, digest=CONTENT + hash_file(root / path))
        for path in sorted(paths, key=str.encode)
    )


def verify(folder: Path, files: tuple[ManifestFile, ...], uri: str) -> None:
    """Raise StoreError with ArtifactChanged unless `files` lie in `folder` as the manifest has them."""
    for file in files:
        path = folder / file.path
        if not path.is_file() or path.is_symlink():
            raise StoreError(
                Reason.ARTIFACT_CHANGED, f"{file.path} of {uri} is missing: compress again with retryToken"
            )
        if path.stat().st_size != file.size or CONTENT + hash_file(path) != file.digest:
            raise StoreError(
                Reason.ARTIFACT_CHANGED,
                f"{file.path} of {uri} is not what the manifest has: compress again with retryToken",
            )
