"""The programs of the cluster: what comes from the distribution's packages, and what is built from Go modules.

Go modules are pinned here and in the `go.mod` and `go.sum` of the folders beside this package; each program is built
once per content key and shared by all clones.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from localcluster.cache import build_once
from localcluster.paths import CACHE, HERE, content_key
from localcluster.progress import StepFailed, step
from localcluster.shell import output, run

KUBERNETES_VERSION = "1.34.4"
# program that must be there → Debian's package that has it
DEBIAN_PACKAGES = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "iptables-save": "iptables",
    "openssl": "openssl",
    "ip": "iproute2",
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "skopeo": "skopeo",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_POLICY = Path("/usr/sbin/policy-rc.d")
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


def _python_packages() -> set[str]:
    """Return what Debian splits off its Python: a self-built one has it all."""
    wanted = set()
    if importlib.util.find_spec("ensurepip") is None:
        wanted.add(f"{_PYTHON}-venv")
    library = f"lib{_PYTHON}.so.1.0"
    folders = (sysconfig.get_config_var("LIBDIR") or "/usr/lib", f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}")
    if not any((Path(folder) / library).exists() for folder in folders):
        wanted.add(f"lib{_PYTHON}")  # Triton's Python backend links it
    return wanted


@dataclasses.dataclass(frozen=True)
class GoProgram:
    """One Go program: a folder beside this package that links it, or a module's main package at a version.

    `module`: where that package is built as its authors do, in the module's own folder, with its own go.sum:
    `go install` refuses a module with `replace` or `exclude` lines.
    """

    name: str
    package: str
    module: str = ""
    stamps: tuple[str, ...] = ()


_K8S = "k8s.io/component-base/version"
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.split(".")
KEDA_MODULE = "github.com/kedacore/keda/v2@v2.21.0"
CONTOUR_MODULE = "github.com/projectcontour/contour@v1.33.8"
_KEDA_STAMPS = ("github.com/kedacore/keda/v2/version.Version=2.21.0",)
GO_PROGRAMS = {
    program.name: program
    for program in (
        GoProgram(
            "hyperkube",
            "./kubernetes",
            stamps=(
                f"{_K8S}.gitVersion=v{KUBERNETES_VERSION}",
                f"{_K8S}.gitMajor={_MAJOR}",
                f"{_K8S}.gitMinor={_MINOR}",
                f"k8s.io/client-go/pkg/version.gitVersion=v{KUBERNETES_VERSION}",
            ),
        ),
        GoProgram("keda-operator", "./cmd/operator", KEDA_MODULE, _KEDA_STAMPS),
        GoProgram("keda-adapter", "./cmd/adapter", KEDA_MODULE, _KEDA_STAMPS),
        GoProgram("contour", "./cmd/contour", CONTOUR_MODULE),
        GoProgram("pause", "./pause"),
        GoProgram("coredns", "./coredns"),
        GoProgram("rclone", "./rclone"),
        GoProgram("metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server@v0.9.0"),
        GoProgram(
            "helm",
            "helm.sh/helm/v3/cmd/helm@v3.22.0",
            stamps=(
                "helm.sh/helm/v3/internal/version.version=v3.22.0",
                f"helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor={_MAJOR}",
                f"helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor={_MINOR}",
            ),
        ),
    )
}


def require_root_and_tools() -> None:
    """Refuse early, with a sentence, on a machine where nothing of this can work."""
    if os.geteuid() != 0:
        raise StepFailed("the local cluster needs root (it runs containerd and sets up a network): run it as root")
    if shutil.which("go") is None:
        raise StepFailed("`go` is not installed: Kubernetes is built from its Go modules; install Go 1.24 or newer")


def install_packages() -> None:
    """Install what is missing of the distribution's packages, without starting any service of theirs."""
    missing = sorted(
        _python_packages()
        | {
            package
            for program, package in DEBIAN_PACKAGES.items()
            if shutil.which(program) is None and not Path(program).is_file()
        }
    )
    if missing:
        _install(missing)


def ensure_browser() -> None:
    """Have a Chromium to open reports with where the distribution packages one; Ubuntu has it as a snap alone."""
    is_debian = platform.freedesktop_os_release()["ID"] == "debian"
    if is_debian and not any(map(shutil.which, BROWSERS)):
        _install(["chromium", "fonts-dejavu-core"])


def _install(missing: list[str]) -> None:
    log = CACHE / "logs" / "apt.log"
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing packages: {' '.join(missing)}", log), _no_services_started():
        try:
            run(["apt-get", "install", "-y", "--no-install-recommends", *missing], log, env=quiet)
        except StepFailed:
            run(["apt-get", "update"], log, env=quiet)
            run(["apt-get", "install", "-y", "--no-install-recommends", *missing], log, env=quiet)


@contextlib.contextmanager
def _no_services_started() -> Iterator[None]:
    """Keep packages from starting their services (Debian's etcd would take our ports) while they are installed."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)


def program(name: str) -> Path:
    """Return the path of one of our Go programs, built first if need be."""
    wanted = GO_PROGRAMS[name]
    ours = wanted.package.startswith("./") and not wanted.module
    sources = HERE / wanted.package if ours else f"{wanted.module}{wanted.package}"
    key = content_key(sources, output(["go", "env", "GOVERSION"]).strip(), *wanted.stamps)

    def build(folder: Path, log: Path) -> None:
        flags = "-s -w " + " ".join(f"-X {stamp}" for stamp in wanted.stamps)
        env = {
            "CGO_ENABLED": "0",
            "GOFLAGS": "-mod=mod" if "@" in wanted.package else "-mod=readonly",
            "GOBIN": str(folder),
        }
        if "@" in wanted.package:
            run(["go", "install", "-trimpath", "-ldflags", flags, wanted.package], log, env=env)
        else:
            place = module_folder(wanted.module) if wanted.module else Path(sources)
            package = wanted.package if wanted.module else "."
            argv: list[str | Path] = [
                "go",
                "build",
                "-trimpath",
                "-ldflags",
                flags,
                "-o",
                folder / wanted.name,
                package,
            ]
            run(argv, log, env=env, cwd=place)

    return build_once(f"go-{name}", key, f"building {name}", build) / name


def module_folder(module: str) -> Path:
    """Return the folder of a Go module at a version, downloaded and checked by its checksum if need be."""
    return Path(json.loads(output(["go", "mod", "download", "-json", module]))["Dir"])


def debian_program(package: str, name: str) -> Path:
    """Return the path of a program out of a Debian package that is unpacked, not installed: no service comes of it."""
    key = content_key(package, Path("/etc/os-release"))

    def unpack(folder: Path, log: Path) -> None:
        download = ["apt-get", "download", package]
        try:
            run(download, log, cwd=folder)
        except StepFailed:
            run(["apt-get", "update"], log)
            run(download, log, cwd=folder)
        (archive,) = folder.glob("*.deb")
        run(["dpkg-deb", "--extract", archive, folder], log)
        archive.unlink()

    return build_once(f"deb-{package}", key, f"unpacking {package}", unpack) / "usr" / "bin" / name


def build_all(names: list[str]) -> None:
    """Build programs one after the other: each keeps every core busy by itself."""
    for name in names:
        program(name)


def tools() -> Path:
    """Return a folder with `kubectl` and every other Kubernetes program by its own name."""
    hyperkube = program("hyperkube")

    def link(folder: Path, _log: Path) -> None:
        names = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
        for name in names:
            (folder / name).symlink_to(hyperkube)

    return build_once("bin", content_key(str(hyperkube)), "linking kubectl", link)
