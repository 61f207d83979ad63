"""The judge: runs original and result as ONNX on the same samples. Imports no tenants' code, loads no pickle."""

from .judging import judge

__all__ = ["judge"]
