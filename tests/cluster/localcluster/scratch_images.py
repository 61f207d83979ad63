"""The small images of the cluster itself, the store and the add-ons: one program each, built without a base."""

from __future__ import annotations

from pathlib import Path

from localcluster.archives import import_layout, on_node, write_layout
from localcluster.cache import build_once
from localcluster.configuration import PAUSE_IMAGE
from localcluster.paths import CACHE, HERE, content_key
from localcluster.programs import program

_RECIPE = content_key(HERE / "localcluster" / "archives.py")


def ensure(name: str) -> str:
    """Have the image of one of our Go programs on the node and return its name."""
    return of_program(name, program(name))


def of_program(name: str, binary: Path) -> str:
    """Have the image of a program, and of the libraries that it links, on the node and return its name.

    The program lies in the cache, so that its path says what it is; its tag is made of that.
    """
    key = content_key(str(binary.relative_to(CACHE)), _RECIPE)
    image = PAUSE_IMAGE if name == "pause" else f"localhost/modelpress/{name}:{key}"
    if not on_node(image):

        def write(folder: Path, _log: Path) -> None:
            write_layout(folder, image, binary)

        import_layout(build_once(f"image-{name}", key, f"image {name}", write), image)
    return image
