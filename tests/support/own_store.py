"""An S3 store of a test's own, in the test's namespace: small enough to fill, and nobody else's to take away.

It is the program that the local cluster's store runs, over a volume in memory that has a size. What it holds is gone
once it was away.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

import fsspec
import kubectl
import yaml
from tests.support.workplace import wait_for

NAME = "own-store"
"""Of Deployment, Service, and the Secret with which models write to it and read from it."""
BUCKET = "artifacts"
PORT = 8333
FILLING = "filling"
"""Folder beside the artifacts that holds nothing but weight."""

_MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: %(name)s}
spec:
  selector: {matchLabels: {app: %(name)s}}
  strategy: {type: Recreate}
  template:
    metadata: {labels: {app: %(name)s}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 1
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      initContainers:
      - name: make-bucket
        image: %(image)s
        args: [mkdir, "/data/%(bucket)s", --config=/tmp/rclone.conf]
        volumeMounts: &mounts [{name: data, mountPath: /data}, {name: tmp, mountPath: /tmp}]
      containers:
      - name: rclone
        image: %(image)s
        args: [serve, s3, /data, "--addr=:%(port)d", --vfs-cache-mode=off, --dir-cache-time=100ms, --etag-hash=MD5,
               "--auth-key=%(key)s,%(secret)s", --config=/tmp/rclone.conf, --cache-dir=/tmp/cache]
        ports: [{name: s3, containerPort: %(port)d}]
        readinessProbe: {tcpSocket: {port: s3}, periodSeconds: 1}
        volumeMounts: *mounts
      volumes:
      - {name: data, emptyDir: {medium: Memory, sizeLimit: %(size)s}}
      - {name: tmp, emptyDir: {}}
---
apiVersion: v1
kind: Service
metadata: {name: %(name)s}
spec:
  selector: {app: %(name)s}
  ports: [{name: s3, port: %(port)d, targetPort: s3}]
"""


@dataclass(frozen=True)
class OwnStore:
    """The running store."""

    namespace: str
    filesystem: Any
    """fsspec filesystem of this machine's way to it."""

    def fill(self) -> None:
        """Write until it takes nothing more, not even 4 KiB."""
        for size in (256 * 1024, 4 * 1024):
            for number in range(10_000):
                try:
                    self.filesystem.pipe_file(f"{BUCKET}/{FILLING}/{size}-{number}", b"x" * size)
                except OSError:
                    break
            else:
                raise AssertionError("the store has no end")

    def make_room(self) -> None:
        """Take away what `fill` wrote."""
        self.filesystem.rm(f"{BUCKET}/{FILLING}", recursive=True)

    def read(self, uri: str) -> bytes:
        """Return the content of the file at `uri`."""
        return bytes(self.filesystem.cat_file(uri))

    def write(self, uri: str, content: bytes) -> None:
        """Put `content` at `uri`."""
        self.filesystem.pipe_file(uri, content)

    def go_away(self) -> None:
        """Stop it, and wait until it is gone."""
        kubectl.run("kubectl", "scale", f"--namespace={self.namespace}", f"deployment/{NAME}", "--replicas=0")
        wait_for(
            lambda: not kubectl.get(self.namespace, "pods", f"--selector=app={NAME}")["items"], "the store to be gone"
        )

    def come_back(self) -> None:
        """Start it again, empty, and wait until it answers."""
        kubectl.run("kubectl", "scale", f"--namespace={self.namespace}", f"deployment/{NAME}", "--replicas=1")
        _wait(self.namespace)


def start(namespace: str, size: str) -> OwnStore:
    """Start a store that holds `size` (a Kubernetes quantity), with a Secret NAME for models of `namespace`."""
    image = kubectl.get("store", "deployment", "store-write")["spec"]["template"]["spec"]["containers"][0]["image"]
    key, secret = f"own-{secrets.token_hex(6)}", secrets.token_hex(20)
    filled = _MANIFEST % {
        "name": NAME,
        "image": image,
        "bucket": BUCKET,
        "port": PORT,
        "key": key,
        "secret": secret,
        "size": size,
    }
    for document in yaml.safe_load_all(filled):
        kubectl.apply(json.dumps(document), namespace)
    access = {
        "accessKeyId": key,
        "secretAccessKey": secret,
        "region": "us-east-1",
        "endpointUrl": f"http://{NAME}.{namespace}.svc:{PORT}",
    }
    document = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME}, "stringData": access}
    kubectl.apply(json.dumps(document), namespace)
    _wait(namespace)
    address = kubectl.get(namespace, "service", NAME)["spec"]["clusterIP"]
    filesystem = fsspec.filesystem(
        "s3",
        key=key,
        secret=secret,
        endpoint_url=f"http://{address}:{PORT}",
        use_listings_cache=False,
        skip_instance_cache=True,
        config_kwargs={"retries": {"total_max_attempts": 1}},
    )
    filesystem.retries = 1
    return OwnStore(namespace, filesystem)


def _wait(namespace: str) -> None:
    kubectl.run("kubectl", "rollout", "status", f"--namespace={namespace}", f"deployment/{NAME}", "--timeout=300s")
