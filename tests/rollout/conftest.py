"""What the matrix shares with the end-to-end tests: modelpress on the real cluster, a namespace for each module."""

from tests.e2e.conftest import installed, workplace

__all__ = ["installed", "workplace"]
