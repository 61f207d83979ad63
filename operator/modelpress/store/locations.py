"""From a Location to a filesystem: fsspec URL plus the Secret that is mounted as a folder of files.

Keys of a Secret: `accessKeyId`, `secretAccessKey`, `sessionToken`, `endpointUrl`, `region`, `caBundle`; any other key
`option.<name>` goes to the fsspec filesystem as it is (JSON where it is JSON). Stores: s3, file, memory, http and
https; gs, gcs, abfs and az if their fsspec packages are in the image.
"""

from __future__ import annotations

import base64
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import fsspec

from modelpress.api.reasons import Reason
from modelpress.api.tasks import SECRETS_FOLDER, Location

from .errors import StoreError

ROOT_VARIABLE = "MODELPRESS_ROOT"
"""Folder that all folders of `api.tasks` are looked for in; for runs outside a pod. Default: the root."""

CONNECT_SECONDS, READ_SECONDS = 5, 60
"""Longest wait for a connection, and for the next bytes of an answer."""
SLOWEST = 256 * 1024
"""Bytes a second below which a transfer counts as stuck."""

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
PROTOCOLS = frozenset({"s3", "file", "memory", "http", "https"} | PACKAGES.keys())


@dataclass(frozen=True)
class Place:
    """A location that can be talked to."""

    filesystem: Any
    """An fsspec filesystem."""
    path: str
    """The location in it, without protocol and without a slash at the end."""
    uri: str
    """As the user wrote it."""

    def at(self, relative: str) -> str:
        """Return the filesystem's path of `relative` below this place."""
        return f"{self.path}/{relative}" if relative else self.path

    def limit(self, size: int = 0) -> dict[str, float]:
        """Return the option under which a call that moves `size` bytes is given up, where calls have one."""
        return {"timeout": READ_SECONDS + size / SLOWEST} if getattr(self.filesystem, "async_impl", False) else {}

    @property
    def protocol(self) -> str:
        """The store's protocol: `s3`, `file`, …."""
        return urlsplit(self.uri).scheme


def file_name(uri: str) -> str:
    """Return the name that the one file at `uri` gets in a folder."""
    return PurePosixPath(urlsplit(uri).path.rstrip("/")).name or "file"


def in_root(folder: str) -> Path:
    """Return the path of `folder` (absolute, of `api.tasks`) in this process."""
    return Path(os.environ.get(ROOT_VARIABLE) or "/") / folder.lstrip("/")


def open_place(location: Location) -> Place:
    """Return the place that `location` names. Contacts no store.

    Raises StoreError: SecretNotFound, StoreUnavailable (a package is missing), InvalidSpec (no such protocol).
    """
    protocol = urlsplit(location.uri).scheme
    if protocol not in PROTOCOLS:
        known = ", ".join(sorted(PROTOCOLS))
        raise StoreError(Reason.INVALID_SPEC, f"{location.uri}: no store is known as {protocol}; known are {known}")
    secret = read_secret(location.secret_name) if location.secret_name else None
    try:
        filesystem, path = fsspec.core.url_to_fs(location.uri, **storage_options(protocol, secret))
    except ImportError as error:
        package = PACKAGES.get(protocol, protocol)
        raise StoreError(
            Reason.STORE_UNAVAILABLE, f"{location.uri}: the image lacks the package {package}: use an image that has it"
        ) from error
    except (ValueError, TypeError) as error:
        raise StoreError(Reason.INVALID_SPEC, f"{location.uri} cannot be opened: {error}") from error
    if protocol == "s3":
        filesystem.retries = 1  # store.errors.attempt retries
    return Place(filesystem, str(path).rstrip("/"), location.uri)


def read_secret(name: str) -> dict[str, str]:
    """Return the keys and values of the mounted Secret `name`. Raises StoreError with SecretNotFound."""
    folder = in_root(SECRETS_FOLDER) / name
    # Kubernetes puts `..data` and timestamped folders beside the keys
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    values = {path.name: path.read_text(encoding="utf-8").strip() for path in files if not path.name.startswith(".")}
    if not values:
        raise StoreError(
            Reason.SECRET_NOT_FOUND,
            f"Secret {name} is not there or empty: create it with accessKeyId and secretAccessKey",
        )
    return values


def storage_options(protocol: str, secret: dict[str, str] | None) -> dict[str, Any]:
    """Return fsspec's storage options for `protocol` with the values of `secret` (None: no Secret was named)."""
    options: dict[str, Any] = {"skip_instance_cache": True}
    if protocol == "s3":
        options |= _s3_options(secret)
    elif protocol in {"http", "https"} and secret and "accessKeyId" in secret:
        options["headers"] = {"Authorization": _basic(secret["accessKeyId"], secret.get("secretAccessKey", ""))}
    for key, value in (secret or {}).items():
        if key.startswith("option."):
            options[key.removeprefix("option.")] = _parse(value)
    return options


def _s3_options(secret: dict[str, str] | None) -> dict[str, Any]:
    """Return the options of s3fs. Without a Secret: the pod's own identity if it has one, else anonymous."""
    config: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "retries": {"total_max_attempts": 1},  # store.errors.attempt retries
        # other stores than AWS send the whole file's checksum with a part of it; digests are checked here anyway
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    options: dict[str, Any] = {"use_listings_cache": False, "config_kwargs": config}
    if secret is None:
        identity = ("AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_PROFILE")
        return options | {"anon": not any(os.environ.get(name) for name in identity)}
    client: dict[str, Any] = {}
    if region := secret.get("region"):
        client["region_name"] = region
    if bundle := secret.get("caBundle"):
        client["verify"] = _bundle_file(bundle)
    given = {
        "key": secret.get("accessKeyId"),
        "secret": secret.get("secretAccessKey"),
        "token": secret.get("sessionToken"),
        "endpoint_url": secret.get("endpointUrl"),
    }
    if secret.get("endpointUrl"):
        config["s3"] = {"addressing_style": "path"}
    anonymous = {"anon": True} if not secret.get("accessKeyId") else {}
    return options | anonymous | {"client_kwargs": client} | {key: value for key, value in given.items() if value}


def _bundle_file(bundle: str) -> str:
    """Write the certificates of `bundle` (PEM) to a file and return its path."""

    with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
        file.write(bundle + "\n")
    return file.name


def _basic(user: str, password: str) -> str:

    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _parse(value: str) -> Any:
    """Return `value` as JSON, or as it is where it is none."""
    try:
        return json.loads(value)
    except ValueError:
        return value
