"""Reasons of conditions, Events and failures: constants that machines read.

What each means, and what to do about it: `reason_texts.py` and docs/conditions.md.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Every reason there is. Grouped by who finds it."""

    # the course of things
    NEW = "New"
    RESOLVING = "Resolving"
    RESOLVED = "Resolved"
    COMPRESSING = "Compressing"
    EVALUATING = "Evaluating"
    COMPRESSED = "Compressed"
    GATES_PASSED = "GatesPassed"
    VERIFYING = "Verifying"
    VERIFICATION_PASSED = "VerificationPassed"
    STARTING = "Starting"
    SERVING = "Serving"
    ROLLING_OUT = "RollingOut"
    ROLLED_OUT = "RolledOut"
    STRATEGY_CHOSEN = "StrategyChosen"
    WEIGHT_COARSE = "WeightCoarse"
    ANALYSIS_PASSED = "AnalysisPassed"
    AWAITING_PROMOTION = "AwaitingPromotion"
    SCALED_TO_ZERO = "ScaledToZero"
    SUSPENDED = "Suspended"
    PAUSED = "Paused"
    DELETING = "Deleting"
    WAITING = "Waiting"
    REFERENCE_ANSWERS_REPRODUCED = "ReferenceAnswersReproduced"

    # judgements about input: final until something changes
    INVALID_SPEC = "InvalidSpec"
    SOURCE_NOT_FOUND = "SourceNotFound"
    DATASET_NOT_FOUND = "DatasetNotFound"
    DIGEST_MISMATCH = "DigestMismatch"
    SOURCE_INVALID = "SourceInvalid"
    PICKLE_REFUSED = "PickleRefused"
    ENTRYPOINT_FAILED = "EntrypointFailed"
    WEIGHTS_DO_NOT_FIT = "WeightsDoNotFit"
    EXPORT_FAILED = "ExportFailed"
    STAGE_FAILED = "StageFailed"
    RECIPE_INVALID = "RecipeInvalid"
    DATASET_INVALID = "DatasetInvalid"
    DATASET_DOES_NOT_FIT = "DatasetDoesNotFit"
    LABELS_OUT_OF_RANGE = "LabelsOutOfRange"
    NOT_FINITE = "NotFinite"
    TRAINING_DIVERGED = "TrainingDiverged"
    DATA_LEAK = "DataLeak"
    COMPRESSION_TIMEOUT = "CompressionTimeout"
    OUT_OF_MEMORY = "OutOfMemory"
    OUT_OF_SCRATCH = "OutOfScratch"
    EVALUATION_FAILED = "EvaluationFailed"
    GATE_FAILED = "GateFailed"
    GATE_INCONCLUSIVE = "GateInconclusive"
    ARTIFACT_CHANGED = "ArtifactChanged"
    ANSWERS_DIFFER = "AnswersDiffer"
    MODEL_LOAD_FAILED = "ModelLoadFailed"
    CRASHED = "Crashed"
    VERIFICATION_TIMEOUT = "VerificationTimeout"
    DISAGREEMENT = "Disagreement"
    ANALYSIS_FAILED = "AnalysisFailed"
    ANALYSIS_INCONCLUSIVE = "AnalysisInconclusive"
    CANDIDATE_UNHEALTHY = "CandidateUnhealthy"
    ABORTED = "Aborted"
    IN_PLACE_INCOMPATIBLE = "InPlaceIncompatible"
    INSUFFICIENT_CAPACITY = "InsufficientCapacity"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    REVISION_NOT_FOUND = "RevisionNotFound"

    # surroundings: backed off and tried again
    SECRET_NOT_FOUND = "SecretNotFound"
    ACCESS_DENIED = "AccessDenied"
    STORE_UNAVAILABLE = "StoreUnavailable"
    STORE_FULL = "StoreFull"
    POD_UNSCHEDULABLE = "PodUnschedulable"
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    NODE_LOST = "NodeLost"
    SERVER_UNAVAILABLE = "ServerUnavailable"
    REPLICAS_NOT_READY = "ReplicasNotReady"
    AUTOSCALER_UNAVAILABLE = "AutoscalerUnavailable"
    ROUTING_UNAVAILABLE = "RoutingUnavailable"
    ROUTE_NOT_ACCEPTED = "RouteNotAccepted"

    # the operator's own
    NAME_CONFLICT = "NameConflict"
    FIELD_CONFLICT = "FieldConflict"
    WRITE_REFUSED = "WriteRefused"
    OPERATOR_ERROR = "OperatorError"


ENVIRONMENT = frozenset(
    {
        Reason.SECRET_NOT_FOUND,
        Reason.ACCESS_DENIED,
        Reason.STORE_UNAVAILABLE,
        Reason.STORE_FULL,
        Reason.POD_UNSCHEDULABLE,
        Reason.IMAGE_UNAVAILABLE,
        Reason.NODE_LOST,
        Reason.SERVER_UNAVAILABLE,
    }
)
"""Reasons that a later attempt with the same input may not meet again."""

OF_THE_RECIPE = frozenset(
    {
        Reason.GATE_FAILED,
        Reason.GATE_INCONCLUSIVE,
        Reason.RECIPE_INVALID,
        Reason.STAGE_FAILED,
        Reason.EXPORT_FAILED,
        Reason.NOT_FINITE,
        Reason.TRAINING_DIVERGED,
        Reason.COMPRESSION_TIMEOUT,
        Reason.OUT_OF_MEMORY,
    }
)
"""Judgements that a milder recipe for the same source and data may escape: the next rung of a ladder is tried.

Of all others, a source that is damaged say, the next rung would meet the same.
"""
