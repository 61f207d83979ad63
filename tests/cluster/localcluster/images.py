"""Our images: built by buildah from the Dockerfiles in `images/`, handed to containerd layer by layer.

An image's tag is the key of what it is built from, so that unchanged inputs cost a look-up, and a changed line of code
reaches the pods under a new name. Of the compressor's 6 GB only changed layers move: dependencies are a layer of their
own, copied uncompressed into an OCI layout (buildah's own push would compress them for minutes); containerd gets the
blobs that it lacks; then the layout's copies are replaced by links to containerd's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from localcluster import bases, second_node
from localcluster.archives import import_layout, on_node
from localcluster.cache import locked
from localcluster.components import ctr
from localcluster.files import put
from localcluster.paths import CACHE, CLONE, STATE, content_key
from localcluster.progress import StepFailed, step
from localcluster.shell import output, run

_LAYOUTS = CACHE / "layouts"
_CONTENT = CACHE / "containerd" / "io.containerd.content.v1.content" / "blobs" / "sha256"
_LINK_FROM_BYTES = 1 << 20
_KEPT_VERSIONS = 20  # a version is a few megabytes, and revisions keep the image that they were rendered with


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One image: its Dockerfile and the paths, in the clone, that it copies."""

    name: str
    dockerfile: str
    inputs: tuple[str, ...]

    @property
    def repository(self) -> str:
        """The image's name without its tag."""
        return f"localhost/modelpress/{self.name}"


_CODE = ("images/modelpress", "operator")
RECIPES = (
    Recipe("operator", "images/operator/Dockerfile", ("requirements/operator.txt", *_CODE)),
    Recipe("triton", "images/triton/Dockerfile.pytriton", ("requirements/triton.txt", "images/triton/tritonserver")),
    Recipe("compressor", "images/compressor/Dockerfile", ("requirements/compressor.txt", *_CODE)),
)


def ensure_all() -> dict[str, str]:
    """Have every image on the node; return and write down their names."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        names = dict(pool.map(_ensure, RECIPES))
    write_names(names)
    second_node.hand_images()
    return names


def ensure_variant(name: str, edit: Callable[[Path], None]) -> str:
    """Have an image on the node as it would be after `edit` of the folder it is built from; return its name.

    The clone and the names that `ensure_all` wrote down stay as they are.
    """
    (recipe,) = (recipe for recipe in RECIPES if recipe.name == name)
    return _ensure(recipe, edit)[1]


def build_all() -> None:
    """Build every image, one after the other and without a cluster, for `ensure_all` to find."""
    for recipe in RECIPES:
        _build_current(recipe)


def write_names(names: dict[str, str]) -> None:
    """Write `.cluster/images.env` for shells and `.cluster/images.json` for programs."""
    STATE.mkdir(exist_ok=True)
    put(STATE / "images.env", "".join(f"{name.upper()}_IMAGE={image}\n" for name, image in names.items()))
    put(STATE / "images.json", json.dumps(names, indent=1) + "\n")


def _build_current(recipe: Recipe) -> None:
    with _context(recipe) as (context, image):
        _build(recipe, context, image)


def _ensure(recipe: Recipe, edit: Callable[[Path], None] | None = None) -> tuple[str, str]:
    with _context(recipe, edit) as (context, image):
        if not on_node(image):
            layout = _build(recipe, context, image)
            with locked("containerd-import"), step(f"image {recipe.name} to the node"):
                import_layout(layout, image)
            _link_to_node(layout)
            _forget_old(recipe, image)
    return recipe.name, image


@contextlib.contextmanager
def _context(recipe: Recipe, edit: Callable[[Path], None] | None = None) -> Iterator[tuple[Path, str]]:
    """Give a copy of what the image is built from, which nobody else edits, and the name that its content has."""
    with tempfile.TemporaryDirectory(prefix="modelpress-image-") as folder:
        context = Path(folder)
        for path in (recipe.dockerfile, *recipe.inputs):
            source, target = CLONE / path, context / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info"))
            else:
                shutil.copy(source, target)
        if edit is not None:
            edit(context)
        yield context, f"{recipe.repository}:{_version()}-{content_key(context, bases.BASE_IMAGE)}"


def _version() -> str:
    found = re.search(r'^version = "(.+)"$', (CLONE / "pyproject.toml").read_text(), re.MULTILINE)
    if found is None:
        raise StepFailed("pyproject.toml names no version")
    return found[1]


def _build(recipe: Recipe, context: Path, image: str) -> Path:
    """Build an image, unless it is in the layout, and return the layout's folder."""
    layout = _LAYOUTS / recipe.name
    if _is_in(layout, image):
        return layout
    log = CACHE / "logs" / f"image-{recipe.name}.log"
    with locked(f"image-{recipe.name}"), step(f"building image {recipe.name}", log):
        with locked("image-base"):
            base = bases.ensure(log)
        downloads = CACHE / "pip"
        downloads.mkdir(parents=True, exist_ok=True)
        certificates = "/etc/ssl/certs"
        run(
            [
                "buildah", "build", "--isolation=chroot", "--network=host", "--layers", "--pull-never",
                f"--volume={certificates}:{certificates}:ro", f"--volume={downloads}:/root/.cache/pip",
                f"--build-arg=PIP_CERT={certificates}/ca-certificates.crt", "--build-arg=PIP_NO_CACHE_DIR=",
                f"--build-arg=BASE_IMAGE={base}", f"--file={context / recipe.dockerfile}", f"--tag={image}", context,
            ],
            log,
        )  # fmt: skip
        layout.mkdir(parents=True, exist_ok=True)
        run(
            ["skopeo", "copy", "--insecure-policy", "--dest-oci-accept-uncompressed-layers",
             f"containers-storage:{image}", f"oci:{layout}:{image}"],
            log,
        )  # fmt: skip
    return layout


def _index(layout: Path) -> dict[str, list[dict[str, Any]]]:
    with contextlib.suppress(FileNotFoundError):
        return dict(json.loads((layout / "index.json").read_text()))
    return {"manifests": []}


def _is_in(layout: Path, image: str) -> bool:
    return any(image in json.dumps(manifest.get("annotations")) for manifest in _index(layout)["manifests"])


def _link_to_node(layout: Path) -> None:
    """Replace the layout's big blobs by links to containerd's copies: same bytes, same name, no space of their own."""
    for blob in (layout / "blobs" / "sha256").iterdir():
        copy = _CONTENT / blob.name
        if blob.stat().st_size >= _LINK_FROM_BYTES and copy.exists() and not copy.samefile(blob):
            link = blob.with_suffix(".link")
            with contextlib.suppress(OSError):  # another file system: the copy stays
                link.hardlink_to(copy)
                link.rename(blob)


def _forget_old(recipe: Recipe, current: str) -> None:
    """Drop all but the newest versions of an image from the node, from buildah and from the layout."""
    manifests = _index(recipe_layout := _LAYOUTS / recipe.name)["manifests"]
    names = [
        str((manifest.get("annotations") or {}).get("org.opencontainers.image.ref.name")) for manifest in manifests
    ]
    used = output(ctr("containers", "list"))
    old = [name for name in names[:-_KEPT_VERSIONS] if name != current and name not in used]
    if not old:
        return
    log = CACHE / "logs" / f"image-{recipe.name}.log"
    for name in old:
        for argv in (ctr("images", "remove", name), ["buildah", "rmi", name]):
            with contextlib.suppress(StepFailed):  # it may be in use, or gone
                run(argv, log)
    kept = [manifest for manifest, name in zip(manifests, names, strict=True) if name not in old]
    index = {"schemaVersion": 2, "manifests": kept}
    (recipe_layout / "index.json").write_text(json.dumps(index))


def node_images() -> list[str]:
    """Return the names of our images on the node."""
    return [
        name for name in output(ctr("images", "list", "--quiet")).split() if name.startswith("localhost/modelpress/")
    ]
