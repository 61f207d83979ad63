"""`publish`: what compression and judge left goes into the store, and its summary to the operator.

This container holds the credentials that compression, which ran tenants' code, must not have: so nothing that
compression left is followed. Only regular files are taken, a symbolic link anywhere ends the Job, and the models are
those whose digests the judge wrote down.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import ValidationError

from modelpress.api.reasons import Reason
from modelpress.api.results import PublishResult
from modelpress.api.tasks import OUT_FOLDER, REPORT_FOLDER, PublishTask
from modelpress.compress.errors import Judged
from modelpress.store import artifacts, transfer
from modelpress.store.digests import CONTENT, hash_file
from modelpress.store.errors import StoreError
from modelpress.store.locations import in_root, open_place
from modelpress.store.manifest import (
    ASSETS,
    COMPRESSION_FILE,
    ONNX,
    ORIGINAL,
    PAGE_FILE,
    REFERENCE_FILE,
    REPORT_FILE,
    Manifest,
    ManifestFile,
)
from modelpress.store.report import Report

from .fetch import COMPRESSED
from .logs import log
from .messages import cut

MOST_FACTS = 1024 * 1024
"""Bytes of compression.json."""
MOST_RECIPE, MOST_WORDS = 16_384, 160
"""Characters of a recipe in the manifest, and of its words in the termination message."""
EVALUATIONS = "evaluations"
"""Folder of later reports in the artifact: `evaluations/<key>/report.json`, with report.html."""


def publish(task: PublishTask) -> PublishResult:
    """Put the artifact, or a later report, into the store. Raises StoreError, or Judged for files not judged."""
    out, reports = in_root(OUT_FOLDER), in_root(REPORT_FOLDER)
    report, report_digest = _read_report(reports / REPORT_FILE)
    if task.manifest_digest:
        folder = f"{EVALUATIONS}/{task.evaluation or report_digest.removeprefix(CONTENT)[:16]}"
        for name in (PAGE_FILE, REPORT_FILE):
            transfer.put_bytes((reports / name).read_bytes(), f"{folder}/{name}", open_place(task.destination))
        log("published", uri=task.destination.uri, path=folder)
        return _result(task.manifest_digest, report_digest, report, ())
    files = collect(out, reports, report)
    manifest = Manifest(
        artifact=task.artifact,
        files=tuple(
            sorted((_described(path, file) for path, file in files.items()), key=lambda file: file.path.encode())
        ),
        variants={ONNX: ONNX},
        batched=report.batched,
        inputs=report.inputs,
        outputs=report.outputs,
        lineage=task.lineage | _found(report),
        assets=tuple(sorted(path for path in files if path.startswith(f"{ASSETS}/"))),
    )
    _check_judged(manifest, report)
    digest = artifacts.publish(files, manifest, task.destination)
    log("published", uri=task.destination.uri, manifestDigest=digest, files=len(files))
    return _result(digest, report_digest, report, _facts_warnings(out / COMPRESSION_FILE))


def collect(out: Path, reports: Path, report: Report) -> dict[str, Path]:
    """Return the files of the artifact, by path in it. Raises Judged if one is missing or no plain file."""
    _refuse_links(out)
    files = {f"{ORIGINAL}/{_below(file, ORIGINAL)}": out / file.path for file in report.original}
    files |= {f"{ONNX}/{_below(file, COMPRESSED)}": out / file.path for file in report.compressed}
    folder = out / ASSETS
    files |= {f"{ASSETS}/{path.relative_to(folder).as_posix()}": path for path in folder.rglob("*") if path.is_file()}
    files |= {name: reports / name for name in (REPORT_FILE, PAGE_FILE, REFERENCE_FILE)}
    facts = out / COMPRESSION_FILE
    if facts.is_file():
        if facts.stat().st_size > MOST_FACTS:
            raise Judged(Reason.STAGE_FAILED, f"{COMPRESSION_FILE} has more than {MOST_FACTS} bytes")
        files[COMPRESSION_FILE] = facts
    for path, file in files.items():
        if not file.is_file():
            raise Judged(Reason.STAGE_FAILED, f"compression left no file for {path}")
    return files


def _refuse_links(out: Path) -> None:
    """Raise Judged if anything below `out` is neither a folder nor a plain file."""
    for folder, folders, names in os.walk(out, followlinks=False):
        for path in (Path(folder, name) for name in (*folders, *names)):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise Judged(
                    Reason.SOURCE_INVALID,
                    f"{path.relative_to(out)} in the result is a link or device: only plain files are taken",
                )


def _below(file: ManifestFile, folder: str) -> str:
    """Return the path of `file` below `folder`. Raises Judged if it lies elsewhere."""
    head, _, rest = file.path.partition("/")
    if head != folder or not rest or ".." in rest.split("/"):
        raise Judged(Reason.EVALUATION_FAILED, f"the report names {file.path!r}, which is not below {folder}")
    return rest


def _described(path: str, file: Path) -> ManifestFile:
    return ManifestFile(path=path, size=file.stat().st_size, digest=CONTENT + hash_file(file))


def _check_judged(manifest: Manifest, report: Report) -> None:
    """Raise Judged unless the models are the very files that were measured."""
    found = {file.path: file.digest for file in manifest.files}
    judged = {f"{ORIGINAL}/{_below(file, ORIGINAL)}": file.digest for file in report.original}
    judged |= {f"{ONNX}/{_below(file, COMPRESSED)}": file.digest for file in report.compressed}
    for path, digest in judged.items():
        if found.get(path) != digest:
            raise Judged(Reason.ARTIFACT_CHANGED, f"{path} is not the file that was judged")


def _read_report(path: Path) -> tuple[Report, str]:
    """Return the judge's report and its digest."""
    try:
        content = path.read_bytes()
        return Report.model_validate_json(content), CONTENT + hash_file(path)
    except (OSError, ValidationError) as error:
        raise StoreError(Reason.EVALUATION_FAILED, f"the judge left no report: {type(error).__name__}") from error


def _found(report: Report) -> dict[str, str]:
    """Return the recipe that a search chose, for the manifest; nothing if it was given."""
    if report.search is None:
        return {}
    stages = json.dumps(report.search.result.stages, separators=(",", ":"), ensure_ascii=False)
    return {"recipe": stages if len(stages) <= MOST_RECIPE else report.search.result.name}


def _facts_warnings(path: Path) -> tuple[str, ...]:
    """Return the sentences that compression wants a person to read. What it says is shown, never decisive."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    warnings = facts.get("warnings") if isinstance(facts, dict) else None
    return tuple(str(text) for text in warnings[:20]) if isinstance(warnings, list) else ()


def _result(manifest_digest: str, report_digest: str, report: Report, warnings: tuple[str, ...]) -> PublishResult:
    return PublishResult(
        manifest_digest=manifest_digest,
        report_digest=report_digest,
        figures=report.figures,
        batched=report.batched,
        memory=report.memory.compressed if report.memory is not None else None,
        recipe=cut(report.search.result.name, MOST_WORDS) if report.search is not None else None,
        warnings=report.warnings + warnings,
    )
