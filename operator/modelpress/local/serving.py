"""`modelpress serve-local`: an artifact on Triton on one's own machine, held by what holds it in a pod.

The agent's own code fetches the files, verifies them by the manifest, writes the model repository, has Triton load the
model and asks it the judge's questions; only then is it said to answer. Triton listens on loopback, its model control
wants a key that nobody else has.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

from modelpress.agent.failure import AgentError
from modelpress.agent.holding import INTERVAL, Keeper
from modelpress.agent.settings import Settings
from modelpress.api.reasons import Reason
from modelpress.api.results import ExitCode, Failure
from modelpress.api.servingpod import (
    REPOSITORY_POLL_SECONDS,
    RESTRICTED_APIS,
    RESTRICTED_KEY_NAME,
    ServedModel,
    ServingPod,
)
from modelpress.api.tasks import AgentTask
from modelpress.store.locations import ROOT_VARIABLE
from modelpress.triton.client import TritonClient
from modelpress.triton.config import Backend

from .artifact import Artifact
from .asked_error import AskedError
from .steps import StepError

PROGRAM = "tritonserver"
BATCH, DELAY_MICROSECONDS = 32, 2000
"""Samples of an execution at most, and how long a request waits for others: a cluster's defaults."""
END_SECONDS = 15.0
Say = Callable[[str], None]


def find_triton(program: str) -> tuple[Path, Backend]:
    """Return Triton's program and the backend that runs ONNX in it. Raises AskedError if there is none."""
    found = shutil.which(program)
    if found is None:
        raise AskedError(
            f"{program} is not on the PATH: run this in NVIDIA's image (docker run -it --network host -v $PWD:/work "
            "nvcr.io/nvidia/tritonserver:25.08-py3), or name a tritonserver program with --triton."
        )
    backends = Path(found).resolve().parent.parent / "backends"
    return Path(found), Backend.ONNXRUNTIME if (backends / "onnxruntime").is_dir() else Backend.PYTHON


async def serve(artifact: Artifact, name: str, program: str, ports: tuple[int, int, int], say: Say) -> int:
    """Serve `artifact` as `name` on loopback until interrupted; return the exit code. Raises AskedError, StepError.

    `ports`: of HTTP, gRPC and metrics.
    """
    path, backend = find_triton(program)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    with tempfile.TemporaryDirectory(prefix="modelpress-") as root:
        os.environ[ROOT_VARIABLE] = root
        settings = Settings(task=AgentTask(backend=backend.value))
        _write_models(artifact, name, settings)
        key = secrets.token_hex(16)
        with (Path(root) / "triton.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                str(path), *arguments(settings.repository, ports, key), stdout=log, stderr=log, start_new_session=True
            )
        ended = asyncio.create_task(process.wait())
        try:
            async with TritonClient(f"127.0.0.1:{ports[0]}", key) as triton:
                keeper = Keeper(settings, triton)
                while not stopped.is_set() and not all(held.verified for held in keeper.models.values() or (_None,)):
                    _check(ended, Path(root))
                    await _or(stopped, keeper.step())
                    await _or(stopped, asyncio.sleep(INTERVAL))
            if not stopped.is_set():
                say(f"{name} answers, and gave the judge's reference answers.")
                await asyncio.wait([ended, asyncio.create_task(stopped.wait())], return_when=asyncio.FIRST_COMPLETED)
            if not stopped.is_set():
                _check(ended, Path(root))
        except AgentError as error:
            raise StepError(error.failure, int(error.exit_code)) from error
        finally:
            await _end(process)
    return ExitCode.DONE


def arguments(repository: Path, ports: tuple[int, int, int], key: str) -> list[str]:
    """Return what Triton is started with: loopback alone, models only by whoever has `key`."""
    restricted = f"{','.join(RESTRICTED_APIS)}:{RESTRICTED_KEY_NAME}={key}"
    named = zip(("http", "grpc", "metrics"), ports, strict=True)
    return [
        f"--model-repository={repository}",
        "--model-control-mode=poll",
        f"--repository-poll-secs={REPOSITORY_POLL_SECONDS}",
        "--exit-on-error=false",
        f"--http-restricted-api={restricted}",
        f"--grpc-restricted-protocol={restricted}",
        *(part for kind, port in named for part in (f"--{kind}-address=127.0.0.1", f"--{kind}-port={port}")),
    ]


class _None:
    """Stands for a model that is not yet in the table."""

    verified = False


def _write_models(artifact: Artifact, name: str, settings: Settings) -> None:
    batched = artifact.manifest.batched
    model = ServedModel(
        name=name,
        uri=artifact.uri,
        manifest_digest=artifact.digest,
        max_batch_size=BATCH if batched else 0,
        max_queue_delay_microseconds=DELAY_MICROSECONDS if batched else 0,
    )
    for folder in (settings.models_file.parent, settings.repository, settings.run):
        folder.mkdir(parents=True)
    settings.models_file.write_text(ServingPod(models=(model,)).model_dump_json(by_alias=True), encoding="utf-8")


async def _or(stopped: asyncio.Event, work: object) -> None:
    """Do `work` unless it is interrupted first."""
    task, end = asyncio.ensure_future(work), asyncio.create_task(stopped.wait())  # type: ignore[call-overload]
    await asyncio.wait([task, end], return_when=asyncio.FIRST_COMPLETED)
    end.cancel()
    if task.done():
        task.result()
    else:
        task.cancel()


def _check(ended: asyncio.Task[int], root: Path) -> None:
    """Raise StepError if Triton has ended."""
    if ended.done():
        lines = (root / "triton.log").read_text(encoding="utf-8", errors="replace").splitlines()
        said = next((line for line in reversed(lines) if line.startswith(("E", "error"))), lines[-1] if lines else "")
        failure = Failure(reason=Reason.MODEL_LOAD_FAILED, message=f"Triton ended with {ended.result()}: {said[:300]}.")
        raise StepError(failure, ExitCode.ENVIRONMENT)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
