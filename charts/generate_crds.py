"""Copy crds/ into the chart as templates, since Helm never upgrades what lies in a chart's own `crds/` folder.

`python charts/generate_crds.py` writes, `--check` fails on a difference. Each copy is the file of `crds/` plus a switch
and the annotation by which Helm leaves the definition, and with it everybody's models, when the chart is uninstalled.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "crds"
TARGET = ROOT / "charts" / "modelpress" / "templates" / "crds"

_ANNOTATIONS = """\
  {{- with include "modelpress.crdAnnotations" . | trim }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
  labels: {{- include "modelpress.labels" . | nindent 4 }}
"""


def template(definition: str) -> str:
    """Return the Helm template for the text of a file of crds/.

    Raises ValueError if the metadata is not just a name, since the annotations are put behind it.
    """
    literal = definition.replace("{{", '{{ "{{" }}')
    head, metadata, rest = literal.partition("\nmetadata:\n")
    name, newline, rest = rest.partition("\n")
    if not metadata or not name.startswith("  name: ") or not rest.startswith("spec:"):
        raise ValueError("a definition's metadata is expected to be a name and nothing else, with spec behind it")
    body = f"{head}{metadata}{name}{newline}{_ANNOTATIONS}{rest}"
    return "{{- if .Values.crds.install }}\n" + body.rstrip("\n") + "\n{{- end }}\n"


def wanted() -> dict[Path, str]:
    """Return what every file of the target folder should hold."""
    return {TARGET / file.name: template(file.read_text(encoding="utf-8")) for file in sorted(SOURCE.glob("*.yaml"))}


def differences() -> list[str]:
    """Return, for people, the files that differ, are missing, or are too many."""
    files = wanted()
    found = [str(file) for file, text in files.items() if not file.exists() or file.read_text(encoding="utf-8") != text]
    return found + [f"{file} has no namesake in crds/" for file in sorted(TARGET.glob("*.yaml")) if file not in files]


def main() -> int:
    """Write or check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    if parser.parse_args().check:
        found = differences()
        if found:
            sys.stderr.write("\n".join(["differs from crds/, run `make generate`:", *found]) + "\n")
        return 1 if found else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    files = wanted()
    for file in set(TARGET.glob("*.yaml")) - set(files):
        file.unlink()
    for file, text in files.items():
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
