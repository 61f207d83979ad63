"""The cache keeps to its size: what was written first goes first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelpress.compress.layout import STAGES, TRIALS
from modelpress.local.caching import cache_folder, trim


def entry(folder: Path, name: str, size: int, written: int) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "file").write_bytes(b"x" * size)
    os.utime(folder / name, (written, written))
    return folder / name


def test_the_oldest_go_until_the_rest_fits(tmp_path: Path) -> None:
    old, middle = entry(tmp_path / STAGES, "old", 60, 1), entry(tmp_path / TRIALS, "middle", 30, 2)
    new = entry(tmp_path / STAGES, "new", 60, 3)
    trim(tmp_path, 100)
    assert (old.exists(), middle.exists(), new.exists()) == (False, True, True)
    trim(tmp_path / "absent", 0)


def test_it_lies_where_caches_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "modelpress" / "compress"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "modelpress" / "compress"
