"""The few things the demo asks of a cluster, through kubectl, so that what it does can be repeated by hand."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class CommandError(Exception):
    """A command ended with an error; the message holds the command and what it printed."""


def run(*command: str, stdin: str | None = None) -> str:
    """Run `command` and return what it printed; raise CommandError with its words if it fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(f"`{' '.join(command)}` failed:\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def apply(document: str, namespace: str) -> None:
    """`kubectl apply` the YAML `document`."""
    run("kubectl", "apply", "--namespace", namespace, "--filename", "-", stdin=document)


def get(namespace: str, *what: str) -> dict[str, Any]:
    """Return `kubectl get … -o json`, read."""
    found: dict[str, Any] = json.loads(run("kubectl", "get", "--namespace", namespace, *what, "--output", "json"))
    return found


def as_json(document: Any) -> str:
    """Return `document` in a form that `apply` takes."""
    return json.dumps(document)


def ensure_namespace(name: str) -> None:
    """Create the namespace if it is missing."""
    apply(as_json({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}), name)


@contextmanager
def port_forward(namespace: str, target: str, *ports: int) -> Iterator[tuple[str, ...]]:
    """Forward `ports` of `target` to free local ports; yield the local addresses, in the order of `ports`."""
    command = ["kubectl", "port-forward", "--namespace", namespace, target, *(f":{port}" for port in ports)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            addresses: dict[int, str] = {}
            assert process.stdout and process.stderr
            for line in process.stdout:
                if found := re.match(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)", line):
                    addresses.setdefault(int(found[2]), f"127.0.0.1:{found[1]}")
                if len(addresses) == len(ports):
                    break
            else:
                raise CommandError(f"`{' '.join(command)}` failed:\n{process.stderr.read().strip()}")
            yield tuple(addresses.values())
        finally:
            process.terminate()
