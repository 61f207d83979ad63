"""What upgrade tests share with end-to-end tests: modelpress installed on the real cluster, and a namespace."""

from tests.e2e.conftest import installed, workplace

__all__ = ["installed", "workplace"]
