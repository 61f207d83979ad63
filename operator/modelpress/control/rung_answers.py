"""What a server's own answers say against a rung of a ladder: gates on the serving runtime refuse it, and so the next
one is due.

Asked before the way ends at the rung's revision: `verifying.py` has pods asked, and by what is known then it is judged
here in every round, as the figures of the compression are.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelpress.api.resources import ModelRevision, Rejection
from modelpress.api.results import Failure
from modelpress.api.verification import VerificationRecord
from modelpress.control import answer_notes, candidates
from modelpress.control.draft import Draft
from modelpress.control.proof import demanded, prove
from modelpress.control.revision_status import write_down
from modelpress.control.standing import Finding


@dataclass(frozen=True, slots=True)
class Answers:
    """The revision of a rung whose answers do not keep the gates: why, and what is known of it by now."""

    revision: ModelRevision
    record: VerificationRecord
    failure: Failure
    rejected: Rejection

    def write_down(self, draft: Draft) -> None:
        """Have the revision remember it. That of the rung where the ladder ends is written down as what is wanted."""
        verified = Finding("False", self.rejected.reason, self.rejected.message)
        write_down(draft, self.revision, verified, self.record, self.rejected)


def refusing(draft: Draft, revision: ModelRevision) -> Answers | None:
    """Return the answers of `revision` if gates refuse them, and nobody wants it asked again."""
    asked = demanded(draft)
    if not asked.asks:
        return None
    record = answer_notes.take_note(draft, revision, answer_notes.known(revision)).record
    failure = prove(asked, record).failure
    if failure is None or record.retry_token != draft.rollout.retry_token:
        return None
    return Answers(revision, record, failure, candidates.rejection(draft, revision, failure, record.retry_token))
