"""The command `modelpress`. A subcommand is imported when it is called, so that none pays for another's libraries."""

from __future__ import annotations

import importlib
import sys
from typing import Any, ClassVar

import click

from modelpress import __version__

INTERRUPTED = 130


class LazyGroup(click.Group):
    """Finds a subcommand by name in a module of its own, and imports that module only then."""

    modules: ClassVar[dict[str, str]] = {
        "compress": "modelpress.cli.compress",
        "evaluate": "modelpress.cli.evaluate",
        "inspect": "modelpress.cli.inspect",
        "report": "modelpress.cli.report",
        "serve-local": "modelpress.cli.serve_local",
        "operator": "modelpress.cli.operator",
        "agent": "modelpress.cli.agent",
        "rollout": "modelpress.cli.rollout",
        "task": "modelpress.cli.task",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the subcommands' names."""
        return sorted(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the subcommand: what its module calls `command`."""
        if cmd_name not in self.modules:
            return None
        command = importlib.import_module(self.modules[cmd_name]).command
        assert isinstance(command, click.Command), f"{self.modules[cmd_name]}.command is no click command"
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Import the subcommand and run it; that takes seconds, in which it may be interrupted before it begins."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            sys.exit(INTERRUPTED)


@click.group(
    cls=LazyGroup, context_settings={"auto_envvar_prefix": "MODELPRESS", "help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="modelpress")
def main() -> None:
    """Compress models, gate them on accuracy, serve them on Triton."""
