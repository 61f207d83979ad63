"""Where a test can stop the world: just before and just after any write.

In production nothing happens here.
"""

from __future__ import annotations


class Seam:
    """Does nothing.

    Tests put one in its place that counts writes, delays them, or kills the process between two of them.
    """

    async def before_write(self, write: str) -> None:
        """Called after the Lease was found fresh and before the request goes out.

        `write` is `VERB path`.
        """

    async def after_write(self, write: str) -> None:
        """Called when the server has answered and before anything is made of the answer."""
