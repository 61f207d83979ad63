"""The S3 store that the demo uses: the local cluster's, or one of yours by AWS_* variables."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import fsspec
from fsspec.callbacks import TqdmCallback

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {"models-read": "read", "artifacts-read": "read", "artifacts-write": "write"}
"""Secrets of a namespace that holds models, and the access that each gives."""


class StoreNotFoundError(Exception):
    """No store is known for this cluster; the message says what to set."""


@dataclass(frozen=True)
class Store:
    """How the cluster and how this machine reach the store."""

    credentials: Mapping[str, Mapping[str, str]]
    """Data of a Secret, by access: read, write."""
    write_endpoint: str | None
    """URL that this machine writes to. None: the store's public one."""
    models: str = "s3://models"
    data: str = "s3://data"

    def secrets(self, namespace: str) -> list[str]:
        """Return the Secrets that models of `namespace` need, as JSON."""
        return [
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": name, "namespace": namespace},
                    "data": {
                        key: base64.b64encode(value.encode()).decode()
                        for key, value in self.credentials[access].items()
                    },
                }
            )
            for name, access in SECRETS.items()
        ]

    def upload(self, folder: Path, name: str) -> None:
        """Put `folder`/source to s3://models/<name>/ and `folder`/data to s3://data/<name>/."""
        for part, root in (("source", self.models), ("data", self.data)):
            self.put(folder / part, f"{root}/{name}")

    def put(self, folder: Path, uri: str) -> None:
        """Upload the files of `folder` to `uri`."""
        filesystem, path = fsspec.core.url_to_fs(uri, skip_instance_cache=True, **self._options())
        for file in sorted(
            found for found in folder.rglob("*") if found.is_file() and "__pycache__" not in found.parts
        ):
            filesystem.put_file(str(file), f"{path.rstrip('/')}/{file.relative_to(folder)}", callback=_progress(file))

    def _options(self) -> dict[str, object]:
        write = self.credentials["write"]
        options: dict[str, object] = {"key": write["accessKeyId"], "secret": write["secretAccessKey"]}
        if self.write_endpoint:
            options["endpoint_url"] = self.write_endpoint
        return options


def _progress(file: Path) -> fsspec.callbacks.Callback:
    if sys.stderr.isatty() and file.stat().st_size > 50_000_000:
        return TqdmCallback(tqdm_kwargs={"desc": file.name, "unit": "B", "unit_scale": True})
    return fsspec.callbacks.NoOpCallback()


def find(kubeconfig: Path) -> Store:
    """Return the store of the cluster that `kubeconfig` opens."""
    if kubeconfig.resolve() == ROOT / ".cluster" / "kubeconfig":
        sys.path.insert(0, str(ROOT / "tests" / "cluster"))
        from localcluster import store

        return Store({access: store.credentials(access) for access in ("read", "write")}, store.host_endpoint("write"))
    try:
        found = {"accessKeyId": os.environ["AWS_ACCESS_KEY_ID"], "secretAccessKey": os.environ["AWS_SECRET_ACCESS_KEY"]}
    except KeyError as missing:
        raise StoreNotFoundError(
            f"a cluster of yours needs a store of yours: set {missing.args[0]} (and AWS_ENDPOINT_URL, AWS_REGION if it"
            " is not AWS's own) for an S3 store with buckets models, data and artifacts"
        ) from None
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    found |= {"endpointUrl": endpoint} if endpoint else {}
    found |= {"region": os.environ["AWS_REGION"]} if "AWS_REGION" in os.environ else {}
    return Store({"read": found, "write": found}, endpoint)
