"""For other programs: a fortune, but not too many, and a price list that is made once for everybody."""

from __future__ import annotations

import random

from fastapi import APIRouter, Depends, Response
from starlette.requests import HTTPConnection

from aioredis_patterns import Limiter
from aioredis_patterns.integrations.fastapi import RateLimit

from .web import TheHouse, house_of, session_of

router = APIRouter(prefix="/api")

FORTUNES = ("A stranger will bring biscuits.", "You will forget a cup somewhere.", "The kettle knows.")


def limit(connection: HTTPConnection) -> Limiter:
    """How many fortunes there are."""
    return house_of(connection).fortunes


def user(connection: HTTPConnection) -> str | None:
    """For whom they are counted; a stranger's are by his address."""
    return session_of(connection).user_id


@router.get("/fortune", dependencies=[Depends(RateLimit(limit, key=user))])
async def fortune() -> dict[str, str]:
    """What the tea leaves say."""
    return {"fortune": random.choice(FORTUNES)}  # noqa: S311


@router.get("/prices")
async def prices(response: Response, house: TheHouse) -> dict[str, int]:
    """The price of each tea: the same for all, so it says that it is public, and is kept for ten seconds."""
    response.headers["Cache-Control"] = "public, max-age=10"
    return {tea: price for tea, price, _ in await house.database.stock()}
