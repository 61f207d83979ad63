#!/usr/bin/env python3
"""The ground from the command line: `cluster.py all | up | down | delete | status | images | store | env | browser`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from localcluster import addons, environment, everything, images, node, programs, store
from localcluster.progress import StepFailed, report

COMMANDS: dict[str, Callable[[], object]] = {
    "all": everything.ensure,
    "down": node.down,
    "delete": node.delete,
    "status": node.status,
    "images": images.ensure_all,
    "store": store.ensure,
    "env": environment.ensure,
    "browser": programs.ensure_browser,
}


def main() -> int:
    """Run one command. Returns the exit status: 0, or 1 after saying which step failed, why, and where its log is."""
    parser = argparse.ArgumentParser(prog="cluster.py", description=__doc__)
    parser.add_argument("command", choices=("up", *COMMANDS))
    parser.add_argument("--addons", default="", help="what `up` brings besides: keda,prometheus,gateway")
    parser.add_argument("--nodes", default="", choices=("", "1", "2"), help="of `up`; default: as it was last")
    asked = parser.parse_args()
    try:
        more = addons.names(asked.addons)
        if asked.command == "up":
            node.up(more, int(asked.nodes) if asked.nodes else None)
        else:
            COMMANDS[asked.command]()
    except StepFailed as failure:
        return report(failure)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
