"""Triton's container: loopback only, models given by the agent alone, requests answered to the last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelpress.api.fields import ResourceRequirements
from modelpress.api.servingpod import (
    DRAINED_FILE,
    KEY_FILE,
    REPOSITORY_FOLDER,
    REPOSITORY_POLL_SECONDS,
    RESTRICTED_APIS,
    RESTRICTED_KEY_NAME,
    RUN_FOLDER,
    STOPPING_FILE,
    STORAGE_FOLDER,
    TRITON_GRPC_PORT,
    TRITON_HTTP_PORT,
    TRITON_METRICS_PORT,
)

from ..containers import container, mount, threads
from ..installation import Installation

EXIT_TIMEOUT_SECONDS = 10
"""Triton's own wait for requests in flight, when the agent has already seen the last of them out."""


FOLLOWS = "--model-control-mode=poll"
"""Triton loads by itself what its repository says."""


def can_load_beside(template: Mapping[str, Any]) -> bool:
    """Say whether pods of `template` can load another version beside the one that they were made for.

    Those that were made before there was such a thing cannot, and their agents would not understand the wish.
    """
    containers = (template.get("spec") or {}).get("containers") or ()
    return any(FOLLOWS in part for container in containers for part in container.get("command") or ())


def triton_script() -> str:
    """Return the shell script that starts Triton once the agent has written the key of the restricted APIs.

    Triton reads the repository by itself, since a load that is asked for over its APIs holds up requests: the thread
    that takes it serves connections too. A model that cannot be loaded neither ends Triton nor makes it unready.

    A container that was restarted in its pod takes back what its preStop hook had announced.
    The key is read from a file of the pod, so it stands in no manifest; `$(…)` is avoided, which Kubernetes expands.
    """
    restricted = f"{','.join(RESTRICTED_APIS)}:{RESTRICTED_KEY_NAME}=$key"
    arguments = (
        f"--model-repository={REPOSITORY_FOLDER}",
        FOLLOWS,
        f"--repository-poll-secs={REPOSITORY_POLL_SECONDS}",
        "--exit-on-error=false",
        "--strict-readiness=false",
        f"--exit-timeout-secs={EXIT_TIMEOUT_SECONDS}",
        "--http-address=127.0.0.1",
        f"--http-port={TRITON_HTTP_PORT}",
        f'--http-restricted-api="{restricted}"',
        "--grpc-address=127.0.0.1",
        f"--grpc-port={TRITON_GRPC_PORT}",
        f'--grpc-restricted-protocol="{restricted}"',
        "--metrics-address=127.0.0.1",
        f"--metrics-port={TRITON_METRICS_PORT}",
    )
    return (
        "trap 'exit 143' TERM\n"
        f"rm -f {STOPPING_FILE} {DRAINED_FILE}\n"
        f"until [ -s {KEY_FILE} ]; do sleep 0.2; done\n"
        f'read -r key < {KEY_FILE} || [ -n "$key" ]\n'
        "exec tritonserver " + " \\\n  ".join(arguments) + "\n"
    )


def triton_container(installation: Installation, resources: ResourceRequirements) -> dict[str, Any]:
    """Return the pod's main container. It has no port of its own: clients come through Envoy."""
    stop = f"touch {STOPPING_FILE}; until [ -e {DRAINED_FILE} ]; do sleep 0.1; done"
    found = container(
        "triton",
        installation.images.triton,
        installation,
        command=("sh", "-c", triton_script()),
        resources=resources,
        environment=threads(resources),
        mounts=[
            mount("models", STORAGE_FOLDER, read_only=True),
            mount("run", RUN_FOLDER),
            mount("shm", "/dev/shm"),
        ],
    )
    return {**found, "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", stop]}}}}
