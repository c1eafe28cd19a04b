"""The application: its middlewares, from the outside in, its pages, and what runs beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware

from aioredis_patterns import Worker, connect
from aioredis_patterns.integrations.asgi import IdempotencyMiddleware, ResponseCacheMiddleware, SessionMiddleware

from . import accounts, api, board, shop, switches
from .database import Database
from .house import House

PAGES = (accounts, api, board, shop, switches)


def create_app(url: str, database: Path, *, secure: bool = True) -> FastAPI:
    """The teahouse.

    Args:
        url: Of its Redis.
        database: The file of its database.
        secure: False to open it without TLS, on one's own machine.
    """
    house = House(connect(url), Database(database))
    cookie = "__Host-session" if secure else "session"
    middleware = [
        Middleware(ResponseCacheMiddleware, cache=house.pages),
        Middleware(SessionMiddleware, store=house.sessions, cookie=cookie, secure=secure),
        Middleware(IdempotencyMiddleware, redis=house.redis, principal=user),
    ]
    app = FastAPI(title="The Teahouse", lifespan=open_house, middleware=middleware)
    app.state.house = house
    for module in PAGES:
        app.include_router(module.router)
    return app


def user(scope: Any) -> str | None:
    """To whom an `Idempotency-Key` belongs."""
    name: str | None = scope["session"].user_id
    return name


@asynccontextmanager
async def open_house(app: FastAPI) -> AsyncIterator[None]:
    """The connections, the bell, and the worker of the orders, for as long as the service runs."""
    house: House = app.state.house
    worker = Worker(house.orders, partial(shop.fulfil, house), concurrency=4)
    async with house.redis, house.database, house.bell, worker:
        for number in await house.database.waiting():
            await house.orders.put(number, dedup=f"order:{number}")
        yield
