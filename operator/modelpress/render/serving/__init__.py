"""What serves a model. For each revision: Deployment, ConfigMap, Service. For the model: Service, budget, policies,
autoscaler, routes."""

from .autoscaler import horizontal_pod_autoscaler, scaled_object
from .config_map import config_map
from .deployment import deployment
from .disruption_budget import disruption_budget
from .models import holding, models_json
from .network_policy import job_network_policy, network_policy
from .pod_template import pod_template
from .routes import Entrance, entrance, grpc_route, http_route
from .services import endpoint, host_of, revision_service, service
from .triton import can_load_beside
from .verification import verification_set

__all__ = [
    "Entrance",
    "can_load_beside",
    "config_map",
    "deployment",
    "disruption_budget",
    "endpoint",
    "entrance",
    "grpc_route",
    "holding",
    "horizontal_pod_autoscaler",
    "host_of",
    "http_route",
    "job_network_policy",
    "models_json",
    "network_policy",
    "pod_template",
    "revision_service",
    "scaled_object",
    "service",
    "verification_set",
]
