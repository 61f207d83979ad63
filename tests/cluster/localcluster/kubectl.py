"""kubectl against the local cluster alone: whatever KUBECONFIG the user has is never read."""

from __future__ import annotations

from pathlib import Path
from string import Template

from localcluster.paths import HERE, KUBECONFIG, LOGS
from localcluster.programs import tools
from localcluster.shell import run


def kubectl(*arguments: str | Path) -> list[str]:
    """Return a command line of kubectl for the local cluster."""
    return [str(tools() / "kubectl"), f"--kubeconfig={KUBECONFIG}", *map(str, arguments)]


def apply(manifest: str) -> None:
    """Apply YAML server-side. Raises StepFailed with the server's words."""
    run(
        kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=modelpress-ground", "--filename=-"),
        LOGS / "kubectl.log",
        stdin=manifest.encode(),
    )


def manifest(name: str, **values: str) -> str:
    """Return one of the manifests beside this package with its `${…}` filled in."""
    return Template((HERE / "manifests" / f"{name}.yaml").read_text()).substitute(values)


def wait_for_rollout(namespace: str, *deployments: str, timeout: str = "300s") -> None:
    """Wait until Deployments have all their pods ready."""
    for deployment in deployments:
        run(
            kubectl(
                "rollout", "status", f"--namespace={namespace}", f"deployment/{deployment}", f"--timeout={timeout}"
            ),
            LOGS / "kubectl.log",
        )
