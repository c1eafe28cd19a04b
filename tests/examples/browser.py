"""The example service in real browsers; no part of the suite, as it needs Chromium and the dependency group `browser`.

`nox -s browser` runs it; with `SCREENSHOTS=docs/guide/pictures` it makes the pictures of the guide anew.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Page, async_playwright

from aioredis_patterns import embedded_server
from examples.service.app import create_app
from examples.service.database import PASSWORD
from tests.integrations.serving import serving


@pytest_asyncio.fixture
async def pages(tmp_path: Path) -> AsyncIterator[tuple[Page, Page]]:
    """Two people's browsers, at the door of the teahouse."""
    async with embedded_server() as redis, async_playwright() as playwright:
        app = create_app(redis.url, tmp_path / "teahouse.sqlite", secure=False)
        chromium = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        async with serving(app) as client:
            view = {"width": 900, "height": 560}
            contexts = [
                await chromium.new_context(base_url=str(client.base_url), viewport=view, device_scale_factor=2)
                for _ in range(2)
            ]
            yield await contexts[0].new_page(), await contexts[1].new_page()
            await chromium.close()


async def test_two_visit_the_teahouse(pages: tuple[Page, Page]) -> None:
    """Each sees the other's cups at once, two clicks are one order, and a logout elsewhere is one."""
    ada, bob = pages
    for page, name in ((ada, "ada"), (bob, "bob")):
        await login(page, name)
        await page.goto("/board")
    for _ in range(2):
        await ada.get_by_text("Pour a cup").click()
        await ada.wait_for_load_state()
    await bob.wait_for_selector("#rows >> text=ada")
    await bob.get_by_text("Pour a cup").click()
    await ada.wait_for_selector("#rows >> text=bob")
    await picture(ada, "board")
    await bob.goto("/")
    await bob.locator("[data-tea=Oolong]").dblclick()
    await bob.wait_for_selector("text=on its way")
    assert await bob.get_by_text("on its way").count() == 1
    await picture(bob, "shop")
    await login(bob, "ada")
    await ada.goto("/guests/ada")
    assert await ada.get_by_text("Chrome on Linux").count() == 2
    await picture(ada, "devices")
    await ada.get_by_text("Log out everywhere else").click()
    await bob.goto("/")
    assert await bob.get_by_text("Log in").count() == 1


async def test_too_many_fortunes(pages: tuple[Page, Page]) -> None:
    """A browser that asks too often is told when to come back."""
    page, _ = pages
    answers = [await page.goto("/api/fortune") for _ in range(4)]
    assert [answer and answer.status for answer in answers] == [200, 200, 200, 429]
    assert answers[3] is not None
    assert {"retry-after", "ratelimit", "ratelimit-policy"} <= answers[3].headers.keys()


async def login(page: Page, name: str) -> None:
    await page.goto("/login")
    await page.fill("[name=name]", name)
    await page.fill("[name=password]", PASSWORD)
    await page.locator("main button").click()
    await page.wait_for_url("**/guests/*")


async def picture(page: Page, name: str) -> None:
    """Keep what a page looks like, where it is asked for."""
    if folder := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
