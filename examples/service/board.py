"""Who has poured the most cups: a leaderboard that moves in all browsers at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from .house import House
from .web import OUR_FORM, TheHouse, User, go, page, templates

router = APIRouter()

QUIET = 15
"""Seconds after which a sign of life is sent, so that no proxy takes the connection for dead."""


@router.get("/board")
async def board(request: Request, house: TheHouse) -> Response:
    """The board as it is now; what follows comes as events."""
    return page(request, "board", rows=await house.board.top(10))


@router.post("/board", dependencies=[OUR_FORM])
async def pour(user: User, house: TheHouse) -> Response:
    """Pour a cup."""
    await house.board.increment(user)
    await house.bell.ring()
    return go("/board")


@router.get("/board/events")
async def events(house: TheHouse) -> Response:
    """The rows of the board, whenever they change, for as long as somebody looks."""
    return StreamingResponse(rows(house), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def rows(house: House) -> AsyncIterator[str]:
    """One event for each change."""
    while True:
        changed = house.bell.next  # taken before the board is read, so that no change is missed
        html = templates.get_template("rows.html").render(rows=await house.board.top(10))
        yield "".join(f"data: {line}\n" for line in html.splitlines()) + "\n"
        while not changed.is_set():
            try:
                await asyncio.wait_for(changed.wait(), QUIET)
            except TimeoutError:
                yield ": still here\n\n"
