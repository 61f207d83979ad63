"""Objects out of facts: a model, an artifact, a revision and the installation in, Kubernetes manifests out.

Pure: no I/O, no clock, no randomness; the same arguments give the same manifest. Nothing here decides whether or when
a manifest is applied: that is the planner's (`control/planner.py`).
"""
