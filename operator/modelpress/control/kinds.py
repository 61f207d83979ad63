"""The kinds this operator watches and writes, and where the API server keeps them.

RBAC in the chart lists the same. EXTENSIONS are of other projects: watched where the cluster has them (extensions.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from modelpress.api.base import GROUP, VERSION
from modelpress.control.plan import Reference


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind.

    `selected`: only objects that carry the model's label are watched, since most of that kind are others'.
    """

    group: str
    version: str
    kind: str
    plural: str
    selected: bool = True

    @property
    def api_version(self) -> str:
        """Return the `apiVersion` that manifests of this kind carry."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def collection(self, namespace: str) -> str:
        """Return the path of all objects of this kind in `namespace`; cluster-wide if it is empty."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" if namespace else f"{root}/{self.plural}"


MODEL = Kind(GROUP, VERSION, "CompressedModel", "compressedmodels", selected=False)
ARTIFACT = Kind(GROUP, VERSION, "ModelArtifact", "modelartifacts", selected=False)
REVISION = Kind(GROUP, VERSION, "ModelRevision", "modelrevisions", selected=False)

WATCHED = (
    MODEL,
    ARTIFACT,
    REVISION,
    Kind("apps", "v1", "Deployment", "deployments"),
    Kind("", "v1", "Service", "services"),
    Kind("", "v1", "ConfigMap", "configmaps"),
    Kind("", "v1", "Pod", "pods"),
    Kind("batch", "v1", "Job", "jobs"),
    Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
    Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
)

SCALED_OBJECT = Kind("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects")
HTTP_ROUTE = Kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")
GRPC_ROUTE = Kind("gateway.networking.k8s.io", "v1", "GRPCRoute", "grpcroutes")
EXTENSIONS = (SCALED_OBJECT, HTTP_ROUTE, GRPC_ROUTE)

_BY_NAME = {(kind.api_version, kind.kind): kind for kind in WATCHED + EXTENSIONS}
_BY_PLURAL = {(kind.group, kind.plural): kind for kind in WATCHED + EXTENSIONS}


class UnknownKindError(LookupError):
    """A plan speaks of a kind that the operator neither watches nor may write: a mistake in the planner."""


def kind_of(reference: Reference) -> Kind:
    """Return the kind of `reference`.

    Raises UnknownKindError.
    """
    try:
        return _BY_NAME[reference.api_version, reference.kind]
    except KeyError:
        raise UnknownKindError(f"{reference.api_version} {reference.kind} is not among the operator's kinds") from None


def kind_by_plural(group: str, plural: str) -> Kind | None:
    """Return the watched kind called `plural` in `group`, or None."""
    return _BY_PLURAL.get((group, plural))


def path_of(reference: Reference, subresource: str = "") -> str:
    """Return the path of one object, or of one of its subresources."""
    path = f"{kind_of(reference).collection(reference.namespace)}/{reference.name}"
    return f"{path}/{subresource}" if subresource else path
