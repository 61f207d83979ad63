"""Add-ons that a cluster may have and the plain one has not: KEDA, Prometheus, a Gateway.

They run as pods, each in the namespace that its project gives it. What projects publish as manifests, definitions and
rights, is taken from the very module that the program is built from; how they are deployed here is in `manifests/`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from localcluster import environment, scratch_images
from localcluster.kubectl import apply, kubectl, manifest, wait_for_rollout
from localcluster.paths import LOGS, STATE, content_key
from localcluster.programs import CONTOUR_MODULE, KEDA_MODULE, debian_program, module_folder, program
from localcluster.progress import StepFailed, step
from localcluster.shell import output, run, wait_until

_READY_SECONDS = 180.0
_LOG = LOGS / "kubectl.log"


@dataclasses.dataclass(frozen=True)
class Addon:
    """One add-on. `programs`: what it runs, by the name that `manifests/<name>.yaml` has for its image.

    `published`: manifests of its project, applied first. `ready`: object and condition to wait for at last, if any.
    """

    name: str
    programs: Mapping[str, Callable[[], Path]]
    namespace: str
    deployments: tuple[str, ...]
    published: Callable[[], Iterator[Path]] = lambda: iter(())
    ready: tuple[str, ...] = ()


def names(text: str) -> tuple[str, ...]:
    """Return the add-ons that `text` lists, separated by commas. Raises StepFailed for one that is none."""
    found = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in found if name not in ADDONS]
    if unknown:
        raise StepFailed(f"there is no add-on {', '.join(unknown)}: ADDONS takes {', '.join(ADDONS)}, with commas")
    return found


def build(wanted: Sequence[str]) -> None:
    """Build what the add-ons run, one program after the other; no cluster is needed."""
    for name in wanted:
        for binary in ADDONS[name].programs.values():
            binary()


def ensure(wanted: Sequence[str]) -> None:
    """Have the add-ons in the running cluster, ready; nothing is sent if the same ones were applied to it."""
    for name in wanted:
        addon = ADDONS[name]
        images = {part: scratch_images.of_program(f"{name}-{part}", find()) for part, find in addon.programs.items()}
        parts = ["\n---\n".join(file.read_text() for file in addon.published()), manifest(name, **images)]
        applied = STATE / "config" / f"addon-{name}.applied"
        with step(f"add-on {name}", _LOG):
            if not applied.exists() or applied.read_text() != content_key(*parts):
                for part in filter(None, parts):
                    apply(part)
                    _await_definitions(part)
                applied.write_text(content_key(*parts))
            wait_for_rollout(addon.namespace, *addon.deployments)
            if addon.ready:
                wait_until(functools.partial(_is_ready, *addon.ready), _READY_SECONDS, f"{addon.ready} is not", _LOG)


def _await_definitions(part: str) -> None:
    if "kind: CustomResourceDefinition" in part:
        run(kubectl("wait", "--for=condition=Established", "--all", "customresourcedefinitions"), _LOG)


def _is_ready(condition: str, *which: str) -> bool:
    path = f"jsonpath={{.status.conditions[?(@.type=='{condition}')].status}}"
    return output(kubectl("get", *which, f"--output={path}")) == "True"


def _of_keda() -> Iterator[Path]:
    folder = module_folder(KEDA_MODULE) / "config"
    yield from sorted((folder / "crd" / "bases").glob("*.yaml"))
    yield folder / "general" / "namespace.yaml"
    yield folder / "service_account" / "service_account.yaml"
    yield from (folder / "rbac" / f"{name}.yaml" for name in ("role", "role_binding"))
    yield folder / "manager" / "service.yaml"
    yield from (
        folder / "metrics-server" / f"{name}.yaml" for name in ("service", "role", "role_binding", "api_service")
    )


def _of_contour() -> Iterator[Path]:
    folder = module_folder(CONTOUR_MODULE) / "examples"
    yield from (folder / "contour" / f"{name}.yaml" for name in ("00-common", "01-crds", "02-rbac", "02-role-contour"))
    yield folder / "gateway" / "00-crds.yaml"


ADDONS = {
    addon.name: addon
    for addon in (
        Addon(
            "keda",
            {
                "operator": functools.partial(program, "keda-operator"),
                "adapter": functools.partial(program, "keda-adapter"),
            },
            "keda",
            ("keda-operator", "keda-metrics-apiserver"),
            _of_keda,
            ("Available", "apiservice", "v1beta1.external.metrics.k8s.io"),
        ),
        Addon(
            "prometheus",
            {"prometheus": lambda: debian_program("prometheus", "prometheus")},
            "monitoring",
            ("prometheus",),
        ),
        Addon(
            "gateway",
            {"contour": functools.partial(program, "contour"), "envoy": environment.envoy},
            "projectcontour",
            ("contour",),
            _of_contour,
            ("Accepted", "gateway", "public", "--namespace=projectcontour"),
        ),
    )
}
