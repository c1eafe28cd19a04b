"""The pages: their Python runs as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioredis_patterns.embedded import EmbeddedServer
from tests.support.examples import examples_in, run
from tests.support.source import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if examples_in(page.read_text())],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
async def test_the_python_of_a_page_runs(page: Path, own_server: EmbeddedServer) -> None:
    """A reader who types what a page shows, from its top to its end, gets what the page says."""
    await run(page.read_text(), own_server.url)
