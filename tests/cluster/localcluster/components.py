"""The processes of the cluster in the order they start: their arguments, the ports they need, how each says "ready"."""

from __future__ import annotations

import dataclasses
import http.client
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

from localcluster.certificates import PKI
from localcluster.configuration import SERVICE_NETWORK
from localcluster.nodes import CONFIG, FIRST, POD_NETWORK, Node
from localcluster.paths import AUDIT_LOG, STATE


@dataclasses.dataclass(frozen=True)
class Component:
    """One process: `ports` must be free before it starts; `ready` is asked until it says yes."""

    name: str
    argv: list[str | Path]
    ready: Callable[[], bool]
    ports: tuple[int, ...] = ()


def answers(port: int, path: str, *, tls: bool = True, pki: Path = PKI, client: str = "admin") -> bool:
    """Tell whether `https://127.0.0.1:port/path` answers 200 to a client certificate of ours (or plain http)."""
    connection: http.client.HTTPConnection
    if tls:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # two components sign their own health port's certificate
        context.load_cert_chain(pki / f"{client}.crt", pki / f"{client}.key")
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def etcd(data: Path, pki: Path, client_port: int = 2379, peer_port: int = 2380) -> Component:
    """Return etcd. It does not wait for the disk: a killed process loses nothing, a lost machine may."""
    url, peer = f"https://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    argv: list[str | Path] = [
        "etcd", "--name=local", f"--data-dir={data}", "--unsafe-no-fsync", "--logger=zap", "--log-level=warn",
        f"--listen-client-urls={url}", f"--advertise-client-urls={url}", "--client-cert-auth",
        f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=local={peer}",
        f"--cert-file={pki}/etcd.crt", f"--key-file={pki}/etcd.key", f"--trusted-ca-file={pki}/ca.crt",
        "--quota-backend-bytes=2147483648", "--auto-compaction-retention=1",
    ]  # fmt: skip
    health = lambda: answers(client_port, "/health", pki=pki, client="apiserver-etcd-client")  # noqa: E731
    return Component("etcd", argv, health, (client_port, peer_port))


def api_server(
    tools: Path, pki: Path, *, port: int = 6443, etcd_port: int = 2379, extra: tuple[str, ...] = ()
) -> Component:
    """Return kube-apiserver: RBAC, Node authorization, client certificates only."""
    argv: list[str | Path] = [
        tools / "kube-apiserver",
        f"--etcd-servers=https://127.0.0.1:{etcd_port}", f"--etcd-cafile={pki}/ca.crt",
        f"--etcd-certfile={pki}/apiserver-etcd-client.crt", f"--etcd-keyfile={pki}/apiserver-etcd-client.key",
        f"--service-cluster-ip-range={SERVICE_NETWORK}", "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction", f"--client-ca-file={pki}/ca.crt", "--anonymous-auth=false",
        f"--tls-cert-file={pki}/apiserver.crt", f"--tls-private-key-file={pki}/apiserver.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/service-accounts.key",
        f"--service-account-signing-key-file={pki}/service-accounts.key",
        f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt", "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy-client.crt",
        f"--proxy-client-key-file={pki}/front-proxy-client.key",
        f"--secure-port={port}", "--shutdown-delay-duration=0s", *extra,
    ]  # fmt: skip
    return Component("kube-apiserver", argv, lambda: answers(port, "/readyz", pki=pki), (port,))


def containerd(node: Node) -> Component:
    """Return a node's containerd."""
    name, _ = node.components
    return Component(name, ["containerd", "--config", node.config("containerd.toml")], lambda: _containerd_ready(node))


def kubelet(tools: Path, node: Node) -> Component:
    """Return a node's kubelet."""
    _, name = node.components
    argv: list[str | Path] = [
        tools / "kubelet", f"--config={node.config('kubelet.yaml')}", f"--kubeconfig={CONFIG}/{node.user}.kubeconfig",
        f"--root-dir={node.kubelet_root()}", f"--hostname-override={node.name}", f"--node-ip={node.address}",
    ]  # fmt: skip
    ports = (node.health_port, node.kubelet_port)
    return Component(name, argv, lambda: answers(node.health_port, "/healthz", tls=False), ports)


def all_components(tools: Path) -> list[Component]:
    """Return the cluster and its first node, in the order of starting."""
    of_cluster = (
        f"--advertise-address={FIRST.address}", "--allow-privileged", "--enable-aggregator-routing=true",
        f"--kubelet-certificate-authority={PKI}/ca.crt", "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-client-certificate={PKI}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={PKI}/apiserver-kubelet-client.key",
        f"--audit-policy-file={CONFIG}/audit-policy.yaml", f"--audit-log-path={AUDIT_LOG}",
        "--audit-log-maxsize=200", "--audit-log-maxbackup=2",
    )  # fmt: skip

    def as_user(user: str) -> list[str]:
        config = f"{CONFIG}/{user}.kubeconfig"
        return [
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            f"--cert-dir={PKI}/self-signed",
        ]

    return [
        etcd(STATE / "etcd", PKI),
        containerd(FIRST),
        api_server(tools, PKI, extra=of_cluster),
        Component(
            "kube-controller-manager",
            [
                tools / "kube-controller-manager", *as_user("controller-manager"),
                f"--service-account-private-key-file={PKI}/service-accounts.key", f"--root-ca-file={PKI}/ca.crt",
                f"--cluster-signing-cert-file={PKI}/ca.crt", f"--cluster-signing-key-file={PKI}/ca.key",
                "--use-service-account-credentials",
            ],
            lambda: answers(10257, "/healthz"), (10257,),
        ),
        Component(
            "kube-scheduler", [tools / "kube-scheduler", *as_user("scheduler")],
            lambda: answers(10259, "/healthz"), (10259,),
        ),
        kubelet(tools, FIRST),
        Component(
            "kube-proxy",
            [
                tools / "kube-proxy", f"--kubeconfig={CONFIG}/proxy.kubeconfig", "--proxy-mode=iptables",
                f"--hostname-override={FIRST.name}", f"--cluster-cidr={POD_NETWORK}",
                "--healthz-bind-address=127.0.0.1:10256", "--metrics-bind-address=127.0.0.1:10249",
                "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s",
                "--conntrack-tcp-timeout-close-wait=0s", "--iptables-min-sync-period=100ms",
            ],
            lambda: answers(10256, "/healthz", tls=False), (10256, 10249),
        ),
    ]  # fmt: skip


def _containerd_ready(node: Node) -> bool:
    if not node.socket().exists():
        return False
    return not subprocess.run(ctr("version", node=node), capture_output=True, check=False, timeout=30).returncode


def ctr(*arguments: str | Path, node: Node = FIRST) -> list[str]:
    """Return the command line of a containerd's client in Kubernetes' namespace of images and containers."""
    return ["ctr", "--address", str(node.socket()), "--namespace", "k8s.io", *map(str, arguments)]
