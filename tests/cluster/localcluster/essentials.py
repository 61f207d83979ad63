"""What a usable cluster needs besides Kubernetes: DNS, metrics for autoscalers, a default StorageClass."""

from __future__ import annotations

from localcluster import scratch_images, volumes
from localcluster.configuration import DNS_ADDRESS
from localcluster.kubectl import apply as apply_manifest
from localcluster.kubectl import manifest, wait_for_rollout
from localcluster.paths import STATE, content_key
from localcluster.progress import step


def apply() -> None:
    """Have all of it in the cluster and DNS ready; nothing is sent if the same ones were applied to this cluster."""
    wanted = "\n---\n".join(
        (
            manifest("storage-class"),
            manifest("coredns", image=scratch_images.ensure("coredns"), address=DNS_ADDRESS),
            manifest("metrics-server", image=scratch_images.ensure("metrics-server")),
        )
    )
    applied = STATE / "config" / "essentials.applied"
    if not applied.exists() or applied.read_text() != content_key(wanted):
        with step("DNS, metrics, StorageClass"):
            apply_manifest(wanted)
            wait_for_rollout("kube-system", "coredns", "metrics-server")
        applied.write_text(content_key(wanted))
    volumes.ensure()
    wait_for_rollout("kube-system", "coredns")
