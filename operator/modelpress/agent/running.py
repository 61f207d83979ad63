"""The agent's process: everything together, until it is told to end or a model cannot be served.

If no model of the pod can be served, the process ends: with the Failure in the termination message and its exit code
(10 if it will fail again, 20 if it may not), and the kubelet starts it again with growing pauses. The pod stays, not
ready; who looks for the cause finds it in the container's `lastState.terminated.message`. Models that Triton has loaded
stay loaded. If other models of the pod are served, the process stays and tries again by itself; /status tells.
"""

from __future__ import annotations

import asyncio
import logging
import signal

from aiohttp import web

from modelpress.api.results import ExitCode
from modelpress.triton.client import TritonClient

from . import key
from .draining import Drain
from .failure import AgentError, write_message
from .holding import Keeper
from .server import application
from .settings import Settings

log = logging.getLogger(__name__)


async def run(settings: Settings) -> ExitCode:
    """Run until SIGTERM or SIGINT (DONE), or until the pod's models cannot be served (JUDGED, ENVIRONMENT)."""
    settings.repository.mkdir(exist_ok=True)  # before the key, which Triton waits for
    secret = key.ensure(settings.key_file)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with TritonClient(f"127.0.0.1:{settings.ports.triton_http}", secret) as triton:
        keeper, drain = Keeper(settings, triton), Drain(settings)
        runner = web.AppRunner(application(keeper, drain), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, settings.listen, settings.ports.agent).start()
        log.info("listening on port %d", settings.ports.agent)
        loops = [asyncio.create_task(loop) for loop in (keeper.work(), keeper.watch(), drain.run())]
        end = asyncio.create_task(stopped.wait())
        try:
            done, _ = await asyncio.wait([*loops, end], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {end}:
                task.result()
        except AgentError as error:
            write_message(error.failure, settings.termination_message)
            return error.exit_code
        finally:
            for task in (*loops, end):
                task.cancel()
            await asyncio.gather(*loops, end, return_exceptions=True)
            await runner.cleanup()
    return ExitCode.DONE
