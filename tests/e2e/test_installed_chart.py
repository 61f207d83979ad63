"""The chart as it stands in the cluster: least rights, documentation in the API, and its own test."""

from __future__ import annotations

import subprocess
from pathlib import Path

import installation
import kubectl
import pytest

OPERATOR = "system:serviceaccount:modelpress-system:modelpress"


def may(verb: str, what: str, *more: str, namespace: str = "default") -> bool:
    """Whether the operator may do `verb` on `what`."""
    command = ["kubectl", "auth", "can-i", verb, what, f"--as={OPERATOR}", f"--namespace={namespace}", *more]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == "yes"


@pytest.mark.parametrize("what", ["secrets", "serviceaccounts", "nodes", "namespaces", "persistentvolumeclaims"])
def test_the_operator_may_not_read(installed: Path, what: str) -> None:
    assert not may("get", what)
    assert not may("list", what)


def test_the_operator_may_not_enter_pods_or_change_rights(installed: Path) -> None:
    assert not may("create", "pods")
    assert not may("create", "pods", "--subresource=exec")
    assert not may("create", "rolebindings")
    assert not may("delete", "compressedmodels.modelpress.io")


def test_the_operator_may_do_its_work(installed: Path) -> None:
    for what in ("deployments.apps", "jobs.batch", "services", "configmaps"):
        assert may("patch", what), what
    assert may("update", "compressedmodels.modelpress.io", "--subresource=status")


def test_the_api_explains_itself(installed: Path) -> None:
    text = kubectl.run("kubectl", "explain", "compressedmodels.spec.compression.stages.prune.amount")
    for word in ("channels", "sparsity", "parameters", "macs", "Fraction of"):
        assert word in text


def test_the_charts_own_test_passes(installed: Path) -> None:
    out = kubectl.run("helm", "test", "modelpress", "--namespace", installation.NAMESPACE, "--timeout=180s")
    assert "Succeeded" in out
