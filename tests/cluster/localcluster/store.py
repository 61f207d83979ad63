"""The S3 store in the cluster: two rclone servers over one volume, since rclone gives every key the same rights.

- `store-write.store.svc:8333` takes the write key and writes.
- `store-read.store.svc:8333` takes the read key and serves read-only.

Both addresses answer from the host too. Buckets `models`, `data`, `artifacts` are folders of the volume.
"""

from __future__ import annotations

import base64
import json
import secrets
from typing import Literal

from localcluster import scratch_images
from localcluster.kubectl import apply, kubectl, manifest, wait_for_rollout
from localcluster.paths import STATE, content_key
from localcluster.progress import step
from localcluster.shell import output

NAMESPACE = "store"
PORT = 8333
BUCKETS = ("models", "data", "artifacts")
Access = Literal["read", "write"]


def ensure() -> None:
    """Have the store running, its buckets made, its keys in `.cluster/store.json`."""
    keys = _keys()
    image = scratch_images.ensure("rclone")
    documents = [manifest("store", write_key=_pair(keys["write"]), read_key=_pair(keys["read"]))]
    for access, make_buckets in (("write", [_make_bucket(image, bucket) for bucket in BUCKETS]), ("read", [])):
        documents.append(
            manifest(
                "store-server",
                image=image,
                access=access,
                read_only="true" if access == "read" else "false",
                make_buckets=json.dumps(make_buckets),
                key=content_key(json.dumps(keys[access])),
            )
        )
    wanted = "\n---\n".join(documents)
    applied = STATE / "config" / "store.applied"
    if not applied.exists() or applied.read_text() != content_key(wanted):
        with step("S3 store"):
            apply(wanted)
            wait_for_rollout(NAMESPACE, "store-write", "store-read")
        applied.write_text(content_key(wanted))
    wait_for_rollout(NAMESPACE, "store-write", "store-read")


def _make_bucket(image: str, bucket: str) -> dict[str, object]:
    return {
        "name": f"make-{bucket}",
        "image": image,
        "args": ["mkdir", f"/data/{bucket}", "--config=/tmp/rclone.conf"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "tmp", "mountPath": "/tmp"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _pair(key: dict[str, str]) -> str:
    return f"{key['accessKeyId']},{key['secretAccessKey']}"


def _keys() -> dict[str, dict[str, str]]:
    file = STATE / "store.json"
    if not file.exists():
        keys = {
            access: {"accessKeyId": f"{access}-{secrets.token_hex(6)}", "secretAccessKey": secrets.token_hex(20)}
            for access in ("read", "write")
        }
        file.touch(mode=0o600)
        file.write_text(json.dumps(keys, indent=1))
    return dict(json.loads(file.read_text()))


def endpoint(access: Access) -> str:
    """Return the address of the read or the write endpoint inside the cluster."""
    return f"http://store-{access}.{NAMESPACE}.svc:{PORT}"


def host_endpoint(access: Access) -> str:
    """Return the address of the same endpoint as the host reaches it."""
    argv = ["get", "service", f"store-{access}", f"--namespace={NAMESPACE}", "--output=jsonpath={.spec.clusterIP}"]
    return f"http://{output(kubectl(*argv))}:{PORT}"


def credentials(access: Access) -> dict[str, str]:
    """Return the data of a credentials Secret for the read or the write endpoint."""
    return {**_keys()[access], "endpointUrl": endpoint(access), "region": "us-east-1"}


def secret(namespace: str, name: str, access: Access) -> dict[str, object]:
    """Return the manifest of a credentials Secret for the read or the write endpoint."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in credentials(access).items()},
    }
