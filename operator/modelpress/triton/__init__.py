"""Triton: its command line, model repository, configuration files and metrics, and a client of its APIs.

Knows nothing of Kubernetes. `python_backend/` holds what Triton's own interpreter runs; nothing here imports it.
"""
