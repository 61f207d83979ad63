"""`python -m modelpress.local.step <kind>`: one step of a Job's pod, as the pod does it, that ends with its caller."""

from __future__ import annotations

import os
import sys

from modelpress.compress.child import end_with_parent
from modelpress.tasks.running import run

if __name__ == "__main__":
    end_with_parent()
    sys.exit(run(sys.argv[1], os.environ))
