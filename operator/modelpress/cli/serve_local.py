"""`modelpress serve-local`: an artifact on Triton, on one's own machine."""

from __future__ import annotations

import asyncio
import sys

import click

from .ending import ended


@click.command("serve-local", epilog="Ctrl-C ends it. Exit codes as of compress.")
@click.argument("artifact")
@click.option("--name", help="Name that clients ask for. Default: the model's.")
@click.option("--triton", default="tritonserver", show_default=True, help="Triton's program.")
@click.option("--http-port", default=8000, show_default=True)
@click.option("--grpc-port", default=8001, show_default=True)
@click.option("--metrics-port", default=8002, show_default=True)
def command(artifact: str, name: str | None, triton: str, http_port: int, grpc_port: int, metrics_port: int) -> None:
    """Serve ARTIFACT, a folder or URL, on loopback until you interrupt it."""
    with ended("text") as console:
        from modelpress.local.artifact import open_artifact  # noqa: PLC0415 - --help need not wait for it
        from modelpress.local.serving import find_triton, serve  # noqa: PLC0415

        find_triton(triton)
        found = open_artifact(artifact)
        called = name or found.name

        def say(text: str) -> None:
            console.print(text, markup=False)
            console.print(f"http://127.0.0.1:{http_port}/v2/models/{called}  gRPC 127.0.0.1:{grpc_port}", markup=False)

        ports = (http_port, grpc_port, metrics_port)
        sys.exit(asyncio.run(serve(found, called, triton, ports, say)))
