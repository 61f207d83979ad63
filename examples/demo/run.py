"""`make demo`: install the chart, put two models into the store, apply them, and ask what serves.

The cluster is the one that --kubeconfig names; whatever else you are logged in to is not touched.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import answers
import installation
import kubectl
import stores
import watch
from rich.console import Console

ROOT = Path(__file__).parents[2]
EXAMPLES = ("digits", "digits-onnx")


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--namespace", default="demo")
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="folder for trained models and data")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    try:
        demonstrate(console, arguments.kubeconfig, arguments.namespace, arguments.build)
    except (kubectl.CommandError, watch.NotReadyError, stores.StoreNotFoundError) as problem:
        console.print(f"[red]{problem}[/red]")
        return 1
    return 0


def demonstrate(console: Console, kubeconfig: Path, namespace: str, build: Path) -> None:
    """Do all steps, each announced by what one would type."""
    started = time.monotonic()
    installation.use(kubeconfig)
    store = stores.find(kubeconfig)
    console.rule(f"helm upgrade --install modelpress charts/modelpress --namespace {installation.NAMESPACE}")
    installation.install(kubeconfig)
    console.rule("two models, trained here")
    for example in EXAMPLES:
        if not (build / example / "source").exists():
            prepare = ROOT / "examples" / example / "prepare.py"
            subprocess.run([sys.executable, str(prepare), str(build / example)], check=True)
    console.rule("into the store")
    kubectl.ensure_namespace(namespace)
    for document in store.secrets(namespace):
        kubectl.apply(document, namespace)
    for example in EXAMPLES:
        store.upload(build / example, example)
        console.print(f"{example}: source to s3://models/{example}/, data to s3://data/{example}/")
    console.rule(f"kubectl apply --namespace {namespace} -f examples/…/model.yaml")
    for example in EXAMPLES:
        kubectl.apply((ROOT / "examples" / example / "model.yaml").read_text(), namespace)
    states = watch.until_ready(namespace, list(EXAMPLES), console)
    console.rule("answers")
    digits = states[0]
    found = answers.ask_served(namespace, digits.name, build / "digits" / "data" / "test.npz")
    answers.show(console, digits.name, digits.status, found)
    console.print(
        f"\n{time.monotonic() - started:.0f} s. Look around with\n"
        f"  export KUBECONFIG={kubeconfig.resolve()}\n"
        f"  kubectl get cmodel,martifact,mrevision,pods --namespace {namespace}\n"
        f"  kubectl explain cmodel.spec.compression\n"
        f"and take it down with `make cluster-down`."
    )


if __name__ == "__main__":
    sys.exit(main())
