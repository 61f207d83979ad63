"""What serves a model. For each revision: Deployment, ConfigMap, Service. For the model: Service, budget, policies."""

from .autoscaler import horizontal_pod_autoscaler, scaled_object
from .config_map import config_map
from .deployment import deployment
from .disruption_budget import disruption_budget
from .models import holding, models_json
from .network_policy import job_network_policy, network_policy
from .pod_template import pod_template
from .services import endpoint, revision_service, service
from .triton import can_load_beside

__all__ = [
    "can_load_beside",
    "config_map",
    "deployment",
    "disruption_budget",
    "endpoint",
    "holding",
    "horizontal_pod_autoscaler",
    "job_network_policy",
    "models_json",
    "network_policy",
    "pod_template",
    "revision_service",
    "scaled_object",
    "service",
]
