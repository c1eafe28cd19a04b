"""The pages: their Python runs as it stands."""

from __future__ import annotations

import pytest

from aioredis_patterns.embedded import EmbeddedServer
from tests.support.examples import examples_in, run
from tests.support.source import ROOT

FILES = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in FILES}


@pytest.mark.parametrize("page", sorted(name for name, text in PAGES.items() if examples_in(text)))
async def test_the_python_of_a_page_runs(
    page: str, own_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader who types what a page shows, from its top to its end, gets what the page says."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    await run(PAGES[page], own_server.url)
