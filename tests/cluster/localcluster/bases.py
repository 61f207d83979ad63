"""The local stand-in for public base images: Debian with Python, made by mmdebstrap, once per machine.

Where an image registry can be reached, the Dockerfiles' own default (`ARG BASE_IMAGE`) is what a user builds on.
"""

from __future__ import annotations

from pathlib import Path

from localcluster.cache import build_once
from localcluster.paths import content_key
from localcluster.progress import StepFailed
from localcluster.shell import run

_SUITE = "bookworm"
_PACKAGES = "ca-certificates,libpython3.11,python3,python3-pip,python3-venv"
BASE_IMAGE = f"localhost/modelpress/base:{content_key(_SUITE, _PACKAGES)}"


def ensure(log: Path) -> str:
    """Have the base image in buildah's storage and return its name."""
    if not has_image(BASE_IMAGE, log):
        archive = _archive()
        container = f"modelpress-base-{BASE_IMAGE.rpartition(':')[2]}"
        run(["sh", "-c", f"buildah rm {container} >/dev/null 2>&1; buildah from --name {container} scratch"], log)
        run(["buildah", "add", container, archive, "/"], log)
        run(["buildah", "commit", "--rm", container, BASE_IMAGE], log)
    return BASE_IMAGE


def has_image(image: str, log: Path) -> bool:
    """Tell whether buildah's storage has an image."""
    try:
        run(["buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", image], log)
    except StepFailed:
        return False
    return True


def _archive() -> Path:
    def build(folder: Path, log: Path) -> None:
        keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
        options = [f"--keyring={keyring}"] if keyring.exists() else []
        tree = folder / "base.tar"
        run(["mmdebstrap", "--variant=minbase", *options, f"--include={_PACKAGES}", _SUITE, tree], log)

    return build_once("base", content_key(_SUITE, _PACKAGES), "Debian base for images", build) / "base.tar"
