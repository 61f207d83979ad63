"""Add-ons by name; what they do is tested in tests/addons."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcluster import addons, archives
from localcluster.progress import StepFailed


def test_add_ons_are_named_with_commas_and_none_is_guessed() -> None:
    assert addons.names("") == ()
    assert addons.names("keda, gateway,") == ("keda", "gateway")
    with pytest.raises(StepFailed, match="there is no add-on kedda: ADDONS takes keda, prometheus, gateway"):
        addons.names("kedda,gateway")


def test_an_image_takes_along_what_its_program_links() -> None:
    linked = archives.libraries(Path("/bin/true"))
    assert any("libc.so" in name for name in linked)
    assert all(file.is_file() and not name.startswith("/") for name, file in linked.items())
    assert archives.libraries(Path(__file__)) == {}
