"""`python -m modelpress`: the command line, where its script is not on PATH."""

from __future__ import annotations

from modelpress.cli.main import main

main()
