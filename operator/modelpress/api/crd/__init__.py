"""The CustomResourceDefinitions and the reference, generated from the types: `python -m modelpress.api.crd --write`."""
