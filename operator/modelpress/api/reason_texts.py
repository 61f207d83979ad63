"""What each reason means, and what a person does about it. Shown in docs/conditions.md; every reason has a text."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from .reasons import Reason


class ReasonText(NamedTuple):
    """One reason, for a person."""

    meaning: str
    remedy: str


_NOTHING = "Nothing: it goes on by itself."
_NONE = "Nothing."
_UPLOAD = "Correct the URI or upload the file; then change `rollout.retryToken`."

COURSE: Mapping[Reason, ReasonText] = MappingProxyType(
    {
        Reason.NEW: ReasonText(
            "The operator has not looked at the resource yet.",
            "If it stays, look whether the operator runs and watches this namespace.",
        ),
        Reason.RESOLVING: ReasonText("A Job looks up what the URIs hold now.", _NOTHING),
        Reason.RESOLVED: ReasonText("The digests of source and data are known.", _NOTHING),
        Reason.COMPRESSING: ReasonText("A Job compresses and measures.", _NOTHING),
        Reason.EVALUATING: ReasonText("A Job measures a result that is already there anew.", _NOTHING),
        Reason.COMPRESSED: ReasonText("The result is in the store and measured.", _NOTHING),
        Reason.GATES_PASSED: ReasonText("The result keeps every gate.", _NONE),
        Reason.VERIFYING: ReasonText(
            "The new revision, which gets no requests yet, is asked for the test data.", _NOTHING
        ),
        Reason.VERIFICATION_PASSED: ReasonText(
            "The serving runtime's own answers to the test data keep every gate that is measured on them, and agree"
            " with the version that serves as far as `rollout.analysis.disagreement` asks.",
            _NONE,
        ),
        Reason.STARTING: ReasonText("Pods of the revision are starting.", _NOTHING),
        Reason.SERVING: ReasonText("What the spec says is what answers.", _NONE),
        Reason.ROLLING_OUT: ReasonText("A new revision starts beside the old one, which answers until then.", _NOTHING),
        Reason.ROLLED_OUT: ReasonText("The revision that the spec asks for has arrived.", _NONE),
        Reason.STRATEGY_CHOSEN: ReasonText(
            "`rollout.strategy` is Auto, or the revision's own pods serve another one: its way was chosen for it.",
            _NONE,
        ),
        Reason.WEIGHT_COARSE: ReasonText(
            "A step of the canary gets another share of requests than it asks for: it has whole pods to share by.",
            "Nothing; more `serving.replicas` make finer steps.",
        ),
        Reason.ANALYSIS_PASSED: ReasonText(
            "A step of the canary is over, and its requests say nothing against it.", _NONE
        ),
        Reason.AWAITING_PROMOTION: ReasonText(
            "A step of the canary lasts until a person decides.",
            "`modelpress rollout promote` or `abort`, or set `rollout.action` yourself.",
        ),
        Reason.SCALED_TO_ZERO: ReasonText(
            "`serving.replicas` is 0, or nobody asks and `autoscaling.minReplicas` is 0: nothing answers, as asked.",
            "Raise it when it should answer, or ask.",
        ),
        Reason.SUSPENDED: ReasonText(
            "`suspend` is set: nothing new is started; what serves goes on.", "Set `suspend` to false."
        ),
        Reason.PAUSED: ReasonText(
            "`rollout.paused` is set: a new revision is ready to be started.", "Set `rollout.paused` to false."
        ),
        Reason.DELETING: ReasonText("The resource is being deleted; what it owns goes with it.", _NOTHING),
        Reason.WAITING: ReasonText("An earlier step has to end first.", _NOTHING),
        Reason.REFERENCE_ANSWERS_REPRODUCED: ReasonText(
            "Serving pods gave the answers that were judged, on the same inputs.", _NONE
        ),
    }
)

JUDGEMENTS: Mapping[Reason, ReasonText] = MappingProxyType(
    {
        Reason.INVALID_SPEC: ReasonText(
            "The spec cannot be followed, though the API server let it pass.",
            "Change the field that the message names.",
        ),
        Reason.SOURCE_NOT_FOUND: ReasonText(
            "Nothing lies at `source.uri`, or a file that the format needs is missing.",
            _UPLOAD,
        ),
        Reason.DATASET_NOT_FOUND: ReasonText(
            "Nothing lies at the URI of a dataset.",
            _UPLOAD,
        ),
        Reason.DIGEST_MISMATCH: ReasonText(
            "Something else lies there than the digest says.",
            "Set the digest of what is meant, or drop it; find out who changed the files if nobody should have.",
        ),
        Reason.SOURCE_INVALID: ReasonText(
            "A file of the source is damaged or not what its format says: truncated weights, an ONNX file that the"
            " runtime rejects.",
            "Write the file again and load it on your own machine first.",
        ),
        Reason.PICKLE_REFUSED: ReasonText(
            "A file holds pickled objects, which run code when they are read.",
            "Save weights as safetensors and data without objects.",
        ),
        Reason.ENTRYPOINT_FAILED: ReasonText(
            "An entrypoint is missing, raised, or returned no torch.nn.Module, loss or scores, as it must.",
            "Run it with the same arguments on your own machine; the message has its last lines.",
        ),
        Reason.WEIGHTS_DO_NOT_FIT: ReasonText(
            "Names or shapes in weights.safetensors differ from those of the module.",
            "Save the weights of the module that the entrypoint builds with these kwargs.",
        ),
        Reason.EXPORT_FAILED: ReasonText(
            "The module cannot be exported to ONNX, or answers differently once it is.",
            "Look at the operation that the message names; take data-dependent control flow out of forward.",
        ),
        Reason.STAGE_FAILED: ReasonText(
            "A stage could not do its work on this model.", "Change or drop the stage that the message names."
        ),
        Reason.RECIPE_INVALID: ReasonText(
            "The stages do not fit together, or not to this source.", "Change the stages as the message says."
        ),
        Reason.DATASET_INVALID: ReasonText(
            "A dataset cannot be read: damaged, of another format, columns of unequal length.",
            "Write the file again; set `format` if its name does not tell.",
        ),
        Reason.DATASET_DOES_NOT_FIT: ReasonText(
            "Names, shapes or types of a dataset differ from what the model takes.",
            "Set `inputs` and `targets` of the dataset, or write the columns as the model takes them.",
        ),
        Reason.LABELS_OUT_OF_RANGE: ReasonText(
            "A label is negative or beyond the number of classes.", "Correct the labels; they count from 0."
        ),
        Reason.NOT_FINITE: ReasonText(
            "The model answers with NaN or infinity.",
            "Look whether the original does too on this data; if not, take a milder recipe.",
        ),
        Reason.TRAINING_DIVERGED: ReasonText(
            "The loss became NaN or infinite.", "Lower `finetune.learningRate`; look for broken training data."
        ),
        Reason.DATA_LEAK: ReasonText(
            "The test data is training, validation or calibration data.",
            "Give it test data that nothing was chosen by.",
        ),
        Reason.COMPRESSION_TIMEOUT: ReasonText(
            "An attempt took longer than `compression.job.timeout`.",
            "Raise it, train for fewer epochs, or use less data.",
        ),
        Reason.OUT_OF_MEMORY: ReasonText(
            "A container used more memory than its limit.",
            "Raise `compression.job.resources.limits.memory` (or `serving.resources`), or lower `batchSize`.",
        ),
        Reason.OUT_OF_SCRATCH: ReasonText("A scratch volume is full.", "Raise `compression.job.scratch.size`."),
        Reason.EVALUATION_FAILED: ReasonText(
            "Original or result could not be measured.", "Look at what the message says of metric, output and target."
        ),
        Reason.GATE_FAILED: ReasonText(
            "The result does not keep a gate.", "Take a milder recipe, train longer, or loosen the gate."
        ),
        Reason.GATE_INCONCLUSIVE: ReasonText(
            "There is too little test data to tell whether a gate is kept.",
            "Add test data (the message says about how much), loosen the gate, or set `onInconclusive: Pass`.",
        ),
        Reason.ARTIFACT_CHANGED: ReasonText(
            "Files in the store are not those that were accepted.",
            "Find out who wrote there; change `rollout.retryToken` to have them made again.",
        ),
        Reason.ANSWERS_DIFFER: ReasonText(
            "Serving pods answer differently from what was judged.",
            "Compare the runtimes' versions; change `rollout.retryToken` to try again.",
        ),
        Reason.MODEL_LOAD_FAILED: ReasonText(
            "Triton cannot load the model.", "Look at the message and the log of the container triton."
        ),
        Reason.CRASHED: ReasonText(
            "A container ended without saying why, more often than `compression.job.retries` allows.",
            "Look at the pod's log; change `rollout.retryToken` to try again.",
        ),
        Reason.VERIFICATION_TIMEOUT: ReasonText(
            "The serving runtime did not answer all of the test data in `compression.job.timeout`.",
            "Give it more resources, ask for fewer samples (`evaluation.test.samples`), or allow more time.",
        ),
        Reason.DISAGREEMENT: ReasonText(
            "The new revision answers otherwise than the one that serves, on more samples than"
            " `rollout.analysis.disagreement` allows. It got no request.",
            "If the difference is meant, raise the limit or leave it out; else mend the model.",
        ),
        Reason.ANALYSIS_FAILED: ReasonText(
            "The new revision failed more requests, or was slower beside the old one, than `rollout.analysis` allows.",
            "Look at the figures; mend the model, or loosen the limit.",
        ),
        Reason.ANALYSIS_INCONCLUSIVE: ReasonText(
            "A step of the canary ended with too few requests to tell. As an Event: it went on all the same. As a"
            " rejection: `rollout.analysis.onInconclusive` is Rollback.",
            "Lengthen the pause, lower `rollout.analysis.minRequests`, or set `onInconclusive`.",
        ),
        Reason.CANDIDATE_UNHEALTHY: ReasonText(
            "A pod of the new revision restarted or stopped answering while it had requests.",
            "Look at the pod's log of that time; change `rollout.retryToken` to try again.",
        ),
        Reason.ABORTED: ReasonText(
            "`rollout.action` sent the new revision back.",
            "Remove the action and change `rollout.retryToken` to try again.",
        ),
        Reason.IN_PLACE_INCOMPATIBLE: ReasonText(
            "The new revision cannot be loaded beside the old one in the pods that are there: it is served otherwise,"
            " takes or gives other tensors, or both need more memory than the limit.",
            "Set another `rollout.strategy` for this change, or raise `serving.resources.limits.memory` first.",
        ),
        Reason.INSUFFICIENT_CAPACITY: ReasonText(
            "The cluster had no room for the new revision beside the old one within `rollout.progressDeadline`.",
            "Make room, or set `rollout.strategy`: `InPlace` needs memory in the pods that are there, `Recreate` no"
            " room, but it interrupts; then change `rollout.retryToken`.",
        ),
        Reason.PROGRESS_DEADLINE_EXCEEDED: ReasonText(
            "Pods of the new revision did not come up within `rollout.progressDeadline`.",
            "Look at what the message says of them; raise the deadline if they only need longer.",
        ),
        Reason.REVISION_NOT_FOUND: ReasonText(
            "`rollout.pinRevision` names a revision that is not there.",
            "Name one of those that `kubectl get modelrevisions` shows, or remove it.",
        ),
    }
)

SURROUNDINGS: Mapping[Reason, ReasonText] = MappingProxyType(
    {
        Reason.SECRET_NOT_FOUND: ReasonText(
            "A Secret that the spec names is missing or empty.",
            "Create it in this namespace, with the keys accessKeyId and secretAccessKey.",
        ),
        Reason.ACCESS_DENIED: ReasonText(
            "The store refuses these credentials.", "Correct the Secret, or the rights that it has in the store."
        ),
        Reason.STORE_UNAVAILABLE: ReasonText(
            "The store does not answer.", "Look whether it runs and can be reached from pods of this namespace."
        ),
        Reason.STORE_FULL: ReasonText("The store takes no more.", "Make room in the store."),
        Reason.POD_UNSCHEDULABLE: ReasonText(
            "No node takes the pod.", "Lower its requests, change nodeSelector and tolerations, or add nodes."
        ),
        Reason.IMAGE_UNAVAILABLE: ReasonText(
            "An image cannot be pulled.", "Correct the image's name or `serving.imagePullSecrets`."
        ),
        Reason.NODE_LOST: ReasonText("The node of a pod went away.", _NOTHING),
        Reason.SERVER_UNAVAILABLE: ReasonText(
            "A pod that is asked for the test data does not answer.",
            "If it stays, look at the pod's events, and whether a NetworkPolicy of yours keeps the Job from it.",
        ),
        Reason.REPLICAS_NOT_READY: ReasonText(
            "Fewer pods answer than `serving.replicas` or the autoscaler asks for.",
            "If it stays, look at the pods' events.",
        ),
        Reason.AUTOSCALER_UNAVAILABLE: ReasonText(
            "This cluster cannot scale as `serving.autoscaling` asks; what serves keeps its pods.",
            "Install what the message names, or choose another `engine` or `target`.",
        ),
        Reason.ROUTING_UNAVAILABLE: ReasonText(
            "This cluster cannot share out requests as `rollout.routing` asks; a new revision is not started.",
            "Do what the message says, or set `rollout.routing` to Auto.",
        ),
        Reason.ROUTE_NOT_ACCEPTED: ReasonText(
            "The Gateway has not accepted a route of the model: nobody can come in by it, and no canary goes on by it.",
            "See to it that the Gateway named in the message is there and admits this namespace and hostname.",
        ),
    }
)

OPERATOR: Mapping[Reason, ReasonText] = MappingProxyType(
    {
        Reason.NAME_CONFLICT: ReasonText(
            "An object of a name that is needed belongs to somebody else.", "Rename the model, or remove that object."
        ),
        Reason.FIELD_CONFLICT: ReasonText(
            "Somebody else keeps changing a field that the operator sets.",
            "Stop the other writer that the message names.",
        ),
        Reason.WRITE_REFUSED: ReasonText(
            "The API server refuses a write: a quota, a policy, a webhook.",
            "Change the quota or policy that the message names, or the field that it objects to.",
        ),
        Reason.OPERATOR_ERROR: ReasonText(
            "The operator met an error of its own and tries again.", "Report it, with the operator's log of this time."
        ),
    }
)

TEXTS: Mapping[Reason, ReasonText] = MappingProxyType({**COURSE, **JUDGEMENTS, **SURROUNDINGS, **OPERATOR})
