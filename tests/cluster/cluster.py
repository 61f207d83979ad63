#!/usr/bin/env python3
"""The local cluster from the command line: `cluster.py up | down | delete | status | images | store | env`."""

from __future__ import annotations

import argparse
import sys

from localcluster.progress import StepFailed, report


def main() -> int:
    """Run one command. Returns the exit status: 0, or 1 after saying which step failed, why, and where its log is."""
    parser = argparse.ArgumentParser(prog="cluster.py", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "delete", "status", "images", "store", "env"))
    command = parser.parse_args().command
    from localcluster import images, node, store  # noqa: PLC0415  (a wrong command is told before anything is loaded)

    try:
        if command == "status":
            return 0 if node.status() else 1
        {
            "up": node.up,
            "down": node.down,
            "delete": node.delete,
            "images": images.ensure_all,
            "store": store.ensure,
            "env": node.print_environment,
        }[command]()
    except StepFailed as failure:
        return report(failure)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
