"""Files that are read while they are written."""

from __future__ import annotations

import threading
from pathlib import Path

from localcluster.files import put


def test_a_reader_sees_the_old_text_or_the_new_one_and_never_a_part(tmp_path: Path) -> None:
    path, texts = tmp_path / "kubeconfig", ("a" * 200_000, "b" * 200_000)
    put(path, texts[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for text in texts:
                put(path, text)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(path.read_text() in texts for _ in range(500))
    finally:
        stop.set()
        writer.join()
    assert [item.name for item in tmp_path.iterdir()] == ["kubeconfig"]


def test_a_file_with_keys_in_it_is_its_owners_alone(tmp_path: Path) -> None:
    put(tmp_path / "kubeconfig", "secret", mode=0o600)
    assert (tmp_path / "kubeconfig").stat().st_mode & 0o777 == 0o600
