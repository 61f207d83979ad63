"""The local Kubernetes of modelpress: one node on this machine, from package registries alone.

Standard library only, so that it runs before anything is installed. `tests/cluster/README.md` is the map.
"""
