#!/usr/bin/env python3
"""Print the Secret that opens the local store: `store_secret.py --namespace N --name models-read --access read`."""

from __future__ import annotations

import argparse
import json

from localcluster.store import secret


def main() -> None:
    """Print the manifest as JSON, which is YAML, for `kubectl apply -f -`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--access", required=True, choices=("read", "write"))
    wanted = parser.parse_args()
    print(json.dumps(secret(wanted.namespace, wanted.name, wanted.access), indent=1))


if __name__ == "__main__":
    main()
