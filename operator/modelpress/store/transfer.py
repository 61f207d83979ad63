"""Bytes between a store and a folder.

Memory stays at a few chunks whatever the size; a file appears whole or not at all.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from modelpress.api.reasons import Reason

from .digests import CHUNK, LISTING, Entry, content_digest, hash_place, list_place, read_chunks
from .errors import ScratchError, StoreError, attempt
from .locations import Place
from .progress import Transfer

WORKERS = 4
"""Files that are transferred at a time."""
MOST_PARTS = 9_000
"""S3 takes 10,000 parts of one upload."""


def resolve(place: Place, missing: Reason = Reason.SOURCE_NOT_FOUND) -> str:
    """Return the digest of what `place` holds now: by its listing if the store has checksums, else by content."""
    listing = list_place(place, missing)
    return listing.digest or hash_place(place, listing, missing)


def download(
    place: Place, into: Path, digest: str | None = None, missing: Reason = Reason.SOURCE_NOT_FOUND, name: str = "file"
) -> str:
    """Bring all of `place` into the folder `into` and return its content digest. A single file is put there as `name`.

    `digest`: what must have been fetched. Raises StoreError: DigestMismatch, or whatever the store answers.
    """
    before = list_place(place, missing)
    if digest and digest.startswith(LISTING) and before.digest != digest:
        raise _mismatch(place.uri, before.digest, digest)
    targets = {entry: into / (entry.path or name) for entry in before.entries}
    content = content_digest(fetch_files(place, targets, missing))
    after = list_place(place, missing)
    if after != before:
        raise StoreError(Reason.DIGEST_MISMATCH, f"{place.uri} was changed while it was read: it is looked at again")
    if digest and not digest.startswith(LISTING) and content != digest:
        raise _mismatch(place.uri, content, digest)
    return content


def fetch_files(place: Place, targets: dict[Entry, Path], missing: Reason = Reason.SOURCE_NOT_FOUND) -> dict[str, str]:
    """Write each file of `place` to its target; return sha256 in hexadecimal by relative path. Raises StoreError."""
    with Transfer(place.uri, sum(entry.size for entry in targets)) as transfer:
        jobs = [(lambda e=entry, t=target: _fetch(place, e, t, transfer, missing)) for entry, target in targets.items()]
        digests = _all(jobs)
    return {entry.path: digest for entry, digest in zip(targets, digests, strict=True)}


def upload(files: dict[str, Path], place: Place) -> None:
    """Put local files at their relative paths below `place`, and check that the store has them. Raises StoreError."""
    sizes = {relative: path.stat().st_size for relative, path in files.items()}
    with Transfer(place.uri, sum(sizes.values())) as transfer:
        jobs = [(lambda r=relative, p=path: _put(place, r, p, transfer)) for relative, path in files.items()]
        _all(jobs)
    found = {entry.path: entry.size for entry in list_place(place, Reason.STORE_UNAVAILABLE).entries}
    lost = [relative for relative, size in sizes.items() if found.get(relative) != size]
    if lost:
        raise StoreError(
            Reason.STORE_UNAVAILABLE,
            f"the store took {lost[0]} below {place.uri} and does not hold it whole: it is tried again later",
        )


def put_bytes(content: bytes, relative: str, place: Place) -> None:
    """Write `content` to `relative` below `place`. Raises StoreError."""
    path = place.at(relative)

    def write() -> None:
        _make_folder(place, path)
        place.filesystem.pipe_file(path, content, **place.limit(len(content)))

    attempt(write, f"{place.uri.rstrip('/')}/{relative}", Reason.STORE_UNAVAILABLE)


def get_bytes(place: Place, relative: str, most: int, missing: Reason) -> bytes:
    """Return the content of `relative` below `place`. Raises StoreError; SourceInvalid beyond `most` bytes."""
    path, uri = place.at(relative), f"{place.uri.rstrip('/')}/{relative}"
    size = int(attempt(lambda: place.filesystem.info(path), uri, missing)["size"])
    if size > most:
        raise StoreError(Reason.SOURCE_INVALID, f"{uri} has {size} bytes, more than {most}")
    return b"".join(read_chunks(place, Entry(relative, size, None), missing))


def _fetch(place: Place, entry: Entry, target: Path, transfer: Transfer, missing: Reason) -> str:
    """Write one file of `place` to `target`, whole or not at all, and return its sha256 in hexadecimal."""
    partial = target.with_name(target.name + ".partial")
    content = hashlib.sha256()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            for chunk in read_chunks(place, entry, missing):
                file.write(chunk)
                content.update(chunk)
                transfer.advance(len(chunk))
        partial.replace(target)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise ScratchError(str(target.parent)) from error
        raise StoreError(
            Reason.SOURCE_INVALID,
            f"{place.uri}: {entry.path or target.name} cannot be written as a file ({error.strerror}): rename it",
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return content.hexdigest()


def _put(place: Place, relative: str, path: Path, transfer: Transfer) -> None:
    """Put one local file below `place`."""
    size, target = path.stat().st_size, place.at(relative)
    options: dict[str, Any] = {}
    if place.protocol == "s3":
        options = {"chunksize": max(CHUNK, -(-size // MOST_PARTS)), "max_concurrency": 2}

    def put() -> None:
        _make_folder(place, target)
        place.filesystem.put_file(str(path), target, **options, **place.limit(size))

    attempt(put, f"{place.uri.rstrip('/')}/{relative}", Reason.STORE_UNAVAILABLE)
    transfer.advance(size)


def _make_folder(place: Place, path: str) -> None:
    """Make the folder of `path` where a store has such a thing."""
    if place.protocol == "file":
        Path(path).parent.mkdir(parents=True, exist_ok=True)


def _all(jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run `jobs`, a few at a time; the first error ends it, without starting the rest."""
    pool = ThreadPoolExecutor(max_workers=WORKERS)
    try:
        futures = [pool.submit(job) for job in jobs]
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _mismatch(uri: str, found: str | None, wanted: str) -> StoreError:
    """Return the error for other content than was asked for."""
    return StoreError(
        Reason.DIGEST_MISMATCH,
        f"{uri} holds {_short(found)}, wanted was {_short(wanted)}: correct the digest or restore the content",
    )


def _short(digest: str | None) -> str:
    """Return `digest` cut to what a person compares."""
    if digest is None:
        return "files without checksums of the store"
    scheme, _, value = digest.partition(":")
    return f"{scheme}:{value[:12]}…"
