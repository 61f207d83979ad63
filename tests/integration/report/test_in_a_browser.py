"""report.html in a real Chromium: no complaints, nothing sticks out, on a phone and a desk, by day and by night."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import browser
from tests.support.reports import full_facts, full_report

from modelpress.compress import page

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a report with long names."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    report = full_report("a-model-whose-name-is-as-long-as-may-be-40")
    path.write_text(page.render(report, full_facts()), encoding="utf-8")
    return path


@pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [390, 1280])
async def test_the_page_fits_and_asks_for_nothing(report: Path, width: int) -> None:
    grounds = set()
    async with browser.page() as shown:
        for scheme in ("light", "dark"):
            await shown.show(report, width, scheme)
            assert await shown.value("document.documentElement.scrollWidth") == width
            assert await shown.value(browser.OVERFLOWING) == []
            assert await shown.value("document.querySelectorAll('svg.histogram path').length") > 4
            assert await shown.value("document.querySelector('.hero h1').getBoundingClientRect().height") > 10
            grounds.add(await shown.value("getComputedStyle(document.body).backgroundColor"))
            assert (await shown.picture()).startswith(PNG)
        assert shown.problems == []
    assert len(grounds) == 2
