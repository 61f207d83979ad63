"""The cluster's own authority and the certificates that its components and its administrator prove themselves with.

No static tokens: every component is a user of its own, with the rights that Kubernetes' default roles give it.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path

from localcluster.files import put
from localcluster.nodes import FIRST, Node
from localcluster.paths import KUBECONFIG, LOGS, STATE
from localcluster.shell import run

API_SERVICE_ADDRESS = "10.96.0.1"
PKI = STATE / "pki"
_DAYS = "3650"


@dataclasses.dataclass(frozen=True)
class Certificate:
    """One certificate to issue: file name, subject (openssl's form) and the names it may serve under."""

    name: str
    subject: str
    names: tuple[str, ...] = ()
    authority: str = "ca"


def of_kubelet(node: Node) -> Certificate:
    """Return the certificate of a node's kubelet: with it, it may write what is its own node's, and serves."""
    names = ("IP:127.0.0.1", f"IP:{node.address}", "DNS:localhost", f"DNS:{node.name}")
    return Certificate(node.user, f"/O=system:nodes/CN=system:node:{node.name}", names)


_LOCAL = ("IP:127.0.0.1", f"IP:{FIRST.address}", "DNS:localhost")
_SERVICE = (f"IP:{API_SERVICE_ADDRESS}", "DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc")
CERTIFICATES = (
    Certificate("etcd", "/CN=etcd", _LOCAL),
    Certificate("apiserver", "/CN=kube-apiserver", _LOCAL + _SERVICE),
    Certificate("apiserver-etcd-client", "/CN=apiserver"),
    Certificate("apiserver-kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
    Certificate("front-proxy-client", "/CN=front-proxy", authority="front-proxy-ca"),
    Certificate("admin", "/O=system:masters/CN=admin"),
    Certificate("controller-manager", "/CN=system:kube-controller-manager"),
    Certificate("scheduler", "/CN=system:kube-scheduler"),
    of_kubelet(FIRST),
    Certificate("proxy", "/CN=system:kube-proxy"),
)


def issue_all(pki: Path = PKI, log: Path = LOGS / "certificates.log") -> None:
    """Issue what is missing in `pki`; what is there stays, so a restarted cluster keeps its identity."""
    pki.mkdir(parents=True, exist_ok=True)
    pki.chmod(0o700)
    for authority in ("ca", "front-proxy-ca"):
        if not (pki / f"{authority}.crt").exists():
            key, crt = pki / f"{authority}.key", pki / f"{authority}.crt"
            run(["openssl", "req", "-x509", *_EC, "-keyout", key, "-out", crt, "-days", _DAYS,
                 "-subj", f"/CN=modelpress-local-{authority}"], log)  # fmt: skip
    if not (pki / "service-accounts.key").exists():
        run(["openssl", "genrsa", "-out", pki / "service-accounts.key", "2048"], log)
    for certificate in CERTIFICATES:
        issue_missing(certificate, pki, log)


def issue_missing(wanted: Certificate, pki: Path = PKI, log: Path = LOGS / "certificates.log") -> None:
    """Issue one certificate, unless it is there."""
    if not (pki / f"{wanted.name}.crt").exists():
        issue(pki, wanted, log)


_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def issue(pki: Path, wanted: Certificate, log: Path) -> None:
    """Issue one certificate and its key into `pki`."""
    request, extensions = pki / f"{wanted.name}.csr", pki / f"{wanted.name}.ext"
    names = f"subjectAltName={','.join(wanted.names)}\n" if wanted.names else ""
    extensions.write_text(f"extendedKeyUsage=clientAuth{',serverAuth' if wanted.names else ''}\n{names}")
    run(["openssl", "req", *_EC, "-keyout", pki / f"{wanted.name}.key", "-out", request, "-subj", wanted.subject], log)
    run(["openssl", "x509", "-req", "-in", request, "-CA", pki / f"{wanted.authority}.crt",
         "-CAkey", pki / f"{wanted.authority}.key", "-CAcreateserial", "-days", _DAYS,
         "-extfile", extensions, "-out", pki / f"{wanted.name}.crt"], log)  # fmt: skip
    request.unlink()
    extensions.unlink()


def write_kubeconfig(path: Path, user: str, pki: Path = PKI, port: int = 6443) -> Path:
    """Write a kubeconfig for one of `CERTIFICATES`, keys included, that works from anywhere on this machine."""

    def embedded(name: str) -> str:
        return base64.b64encode((pki / name).read_bytes()).decode()

    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "modelpress-local",
        "clusters": [
            {
                "name": "modelpress-local",
                "cluster": {
                    "server": f"https://127.0.0.1:{port}",
                    "certificate-authority-data": embedded("ca.crt"),
                },
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": embedded(f"{user}.crt"),
                    "client-key-data": embedded(f"{user}.key"),
                },
            }
        ],
        "contexts": [{"name": "modelpress-local", "context": {"cluster": "modelpress-local", "user": user}}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    put(path, json.dumps(config, indent=1), mode=0o600)  # JSON is YAML
    return path


def write_kubeconfigs() -> None:
    """Write the kubeconfig of each component, and the administrator's at `.cluster/kubeconfig`."""
    for user in ("controller-manager", "scheduler", "kubelet", "proxy"):
        write_kubeconfig(STATE / "config" / f"{user}.kubeconfig", user)
    write_kubeconfig(KUBECONFIG, "admin")
