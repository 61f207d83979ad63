"""Jobs: one pod, one attempt. Whether there is another one is the planner's to say, so Kubernetes retries nothing."""

from .ask import ask_job
from .compress import compress_job
from .evaluate import evaluate_job
from .resolve import resolve_job

__all__ = ["ask_job", "compress_job", "evaluate_job", "resolve_job"]
