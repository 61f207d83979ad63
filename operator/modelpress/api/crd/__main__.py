"""Write crds/ and the generated docs (`python -m modelpress.api.crd --write`), or fail on a difference (`--check`)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .files import generated


def main(arguments: list[str] | None = None) -> int:
    """Write or compare the generated files below the current folder, or below --root. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m modelpress.api.crd", description=__doc__)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true", help="write the files")
    mode.add_argument("--check", action="store_true", help="exit with 1 if a file is not as it would be written")
    parser.add_argument("--root", type=Path, default=Path(), help="root of the checkout (default: the current folder)")
    options = parser.parse_args(arguments)
    stale = []
    for name, text in generated().items():
        path = options.root / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if options.write:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if options.check and stale:
        sys.stderr.write(f"not as generated from the types: {', '.join(stale)}; run `make generate`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
