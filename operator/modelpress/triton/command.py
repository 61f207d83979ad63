"""How Triton's container is started: bound to loopback, loading nothing by itself, its dangerous APIs behind a key.

Whoever reaches model control, shared memory, logging or trace on an open port can run code in the server. So Triton
listens on loopback alone, and even there asks for the key that the pod's agent made.
"""

from __future__ import annotations

from modelpress.api.servingpod import (
    REPOSITORY_FOLDER,
    RUN_FOLDER,
    TRITON_GRPC_PORT,
    TRITON_HTTP_PORT,
    TRITON_METRICS_PORT,
)

KEY_HEADER = "modelpress-key"
"""Header that carries the key. Over gRPC Triton expects it behind GRPC_PREFIX."""
GRPC_PREFIX = "triton-grpc-protocol-"
KEY_FILE = "key"
STOPPING_FILE = "stopping"
DRAINED_FILE = "drained"
RESTRICTED_APIS = ("model-repository", "shared-memory", "logging", "trace")
EXIT_TIMEOUT_SECONDS = 15
"""What is in flight when Triton is told to end gets this long. After a drain nothing is."""


def arguments(key: str, *, repository: str = REPOSITORY_FOLDER, http: int, grpc: int, metrics: int) -> list[str]:
    """Return tritonserver's arguments for a server on loopback that asks for `key`."""
    restricted = f"{','.join(RESTRICTED_APIS)}:{KEY_HEADER}={key}"
    return [
        f"--model-repository={repository}",
        "--model-control-mode=explicit",
        "--disable-auto-complete-config",
        "--strict-readiness=false",
        "--http-address=127.0.0.1",
        f"--http-port={http}",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={grpc}",
        "--metrics-address=127.0.0.1",
        f"--metrics-port={metrics}",
        f"--http-restricted-api={restricted}",
        f"--grpc-restricted-protocol={restricted}",
        f"--exit-timeout-secs={EXIT_TIMEOUT_SECONDS}",
    ]


def start_script(run: str = RUN_FOLDER) -> str:
    """Return the shell script of Triton's container: forget an earlier drain, wait for the key, become tritonserver.

    The files of a drain are removed because a container that is restarted in its pod serves again.
    """
    wanted = arguments("$key", http=TRITON_HTTP_PORT, grpc=TRITON_GRPC_PORT, metrics=TRITON_METRICS_PORT)
    return "\n".join(
        [
            "set -eu",
            f"rm -f {run}/{STOPPING_FILE} {run}/{DRAINED_FILE}",
            f"until [ -s {run}/{KEY_FILE} ]; do sleep 0.1; done",
            f'key="$(cat {run}/{KEY_FILE})"',
            "exec tritonserver " + " ".join(f'"{argument}"' for argument in wanted),
        ]
    )


def stop_script(run: str = RUN_FOLDER) -> str:
    """Return the shell script to run before Triton is told to end: ask for the drain and wait until it is done."""
    return f"touch {run}/{STOPPING_FILE}; until [ -e {run}/{DRAINED_FILE} ]; do sleep 0.1; done"
