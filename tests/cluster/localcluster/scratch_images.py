"""The small images of the cluster itself and of the store: one static Go program each, built without a base."""

from __future__ import annotations

from pathlib import Path

from localcluster.archives import import_layout, on_node, write_layout
from localcluster.cache import build_once
from localcluster.configuration import PAUSE_IMAGE
from localcluster.paths import HERE, content_key
from localcluster.programs import program

_RECIPE = content_key(HERE / "localcluster" / "archives.py")


def ensure(name: str) -> str:
    """Have the image of one program on the node and return its name; its tag is the program's content key."""
    binary = program(name)
    key = content_key(binary.parent.name, _RECIPE)
    image = PAUSE_IMAGE if name == "pause" else f"localhost/modelpress/{name}:{key}"
    if not on_node(image):

        def write(folder: Path, _log: Path) -> None:
            write_layout(folder, image, binary)

        import_layout(build_once(f"image-{name}", key, f"image {name}", write), image)
    return image
