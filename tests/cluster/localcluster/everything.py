"""The whole ground at once: cluster, store, Python environment and images, two long steps side by side at most."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from localcluster import environment, images, node, store
from localcluster.programs import install_packages, require_root_and_tools


def ensure() -> None:
    """Have all that `make demo` and `make test` stand on. Building Go programs and installing Python ones overlap."""
    require_root_and_tools()
    install_packages()
    with ThreadPoolExecutor(max_workers=2) as pool:
        steps = [pool.submit(_kubernetes), pool.submit(_python)]
        for step in steps:
            step.result()
    images.ensure_all()


def _kubernetes() -> None:
    node.up()
    store.ensure()


def _python() -> None:
    environment.ensure()
    images.build_all()
