"""What fault tests share with integration tests: an API server that serves the three resources with any content."""

from tests.integration.control.conftest import served_kinds

__all__ = ["served_kinds"]
