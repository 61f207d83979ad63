"""Image archives in the OCI layout, written without a builder: one program on an empty base.

Also the way any image reaches the node: a tar stream that leaves out the layers which containerd has already.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from localcluster.components import ctr
from localcluster.progress import StepFailed
from localcluster.shell import output

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


def write_layout(folder: Path, image: str, program: Path) -> None:
    """Write an OCI layout of an image that holds one program and the libraries it links, run as user 65532."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name in ("tmp", "etc"):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(directory)
        for name, file in {program.name: program, **libraries(program)}.items():
            content = file.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    layer_bytes = layer.getvalue()
    config = {
        "architecture": output(["go", "env", "GOARCH"]).strip(),
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"], "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer_bytes).hexdigest()}"]},
    }
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(content: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": blob(json.dumps(config).encode(), _CONFIG),
        "layers": [blob(layer_bytes, _LAYER)],
    }
    described = blob(json.dumps(manifest).encode(), _MANIFEST)
    write_index(folder, image, described)


def libraries(program: Path) -> dict[str, Path]:
    """Return the shared libraries of this machine that a program links, by where it looks for them; a static one none.

    Linux on the same machine is all that the image needs to suit.
    """
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    found = re.findall(r"(?:=> )?(/\S+) \(0x", listed)
    return {path.lstrip("/"): Path(path).resolve() for path in found}


def write_index(folder: Path, image: str, manifest: dict[str, object]) -> None:
    """Write the two files that make a folder of blobs an OCI layout of one image."""
    described = {**manifest, "annotations": {"io.containerd.image.name": image}}
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [described]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def on_node(image: str) -> bool:
    """Tell whether containerd has an image of this name."""
    return image in output(ctr("images", "list", "--quiet", f"name=={image}")).split()


def import_layout(folder: Path, image: str) -> None:
    """Hand an OCI layout to containerd, leaving out blobs that it has. Raises StepFailed with containerd's words."""
    there = set(output(ctr("content", "list", "--quiet")).split())
    manifest = _manifest_of(folder, image)
    description = json.loads(_blob(folder, manifest["digest"]).read_text())
    needed = [manifest["digest"], description["config"]["digest"]]
    needed += [layer["digest"] for layer in description["layers"] if layer["digest"] not in there]
    index = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _INDEX,
            "manifests": [{**manifest, "annotations": {"io.containerd.image.name": image}}],
        }
    ).encode()
    argv = ctr("images", "import", "--snapshotter", "overlayfs", "-")
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(BrokenPipeError), process.stdin:  # if it hangs up, its own words below say why
        _stream(process.stdin, index, [_blob(folder, digest) for digest in needed])
    words = process.stdout.read().decode()
    if process.wait() or not on_node(image):
        raise StepFailed(f"containerd did not take image {image}: {words.strip()}")


def _manifest_of(folder: Path, image: str) -> dict[str, str]:
    for manifest in json.loads((folder / "index.json").read_text())["manifests"]:
        if image in (manifest.get("annotations") or {}).values():
            return {key: manifest[key] for key in ("mediaType", "digest", "size")}
    raise StepFailed(f"{folder} has no image {image}")


def _blob(folder: Path, digest: str) -> Path:
    return folder / "blobs" / digest.replace(":", "/")


def _stream(sink: IO[bytes], index: bytes, blobs: Iterable[Path]) -> None:
    with tarfile.open(fileobj=sink, mode="w|", bufsize=1 << 20) as tar:
        for name, content in (("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'), ("index.json", index)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for blob in blobs:
            tar.add(blob, f"blobs/sha256/{blob.name}")
