"""What tests look at many times a second, read over one kept connection: every kubectl is a process of its own."""

from __future__ import annotations

import functools
import json
import os
from typing import Any

from kubernetes import client, config

GROUP, VERSION = "modelpress.io", "v1alpha1"


def model(namespace: str, name: str) -> dict[str, Any]:
    """Return the CompressedModel. Raises kubernetes.client.ApiException if there is none."""
    objects = client.CustomObjectsApi(_connection(os.environ["KUBECONFIG"]))
    found: Any = objects.get_namespaced_custom_object(GROUP, VERSION, namespace, "compressedmodels", name)
    return dict(found)


def events(namespace: str, name: str) -> list[dict[str, Any]]:
    """Return the Events on objects of that name, as the API server writes them."""
    core = client.CoreV1Api(_connection(os.environ["KUBECONFIG"]))
    selector = f"involvedObject.name={name}"
    return _items(core.list_namespaced_event(namespace, field_selector=selector, _preload_content=False))


def pods(namespace: str, selector: str) -> list[dict[str, Any]]:
    """Return the pods that a label selector names, as the API server writes them."""
    core = client.CoreV1Api(_connection(os.environ["KUBECONFIG"]))
    return _items(core.list_namespaced_pod(namespace, label_selector=selector, _preload_content=False))


def _items(answer: Any) -> list[dict[str, Any]]:
    return list(json.loads(answer.data)["items"])


@functools.cache
def _connection(kubeconfig: str) -> client.ApiClient:
    return config.new_client_from_config(kubeconfig)
