"""Real applications, under a real web server or called by a client itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.waiting import eventually


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, which listens on a free port."""
    options = {"port": 0, "log_level": "critical", "ws": "websockets-sansio", "proxy_headers": False}
    server = uvicorn.Server(uvicorn.Config(app, **options))
    running = asyncio.create_task(server.serve())
    try:
        await eventually(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        server.should_exit = True
        await running


def calling(app: Any) -> httpx.AsyncClient:
    """A client that calls the application itself, which is much quicker; it has a response when the call has ended."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://example.com")


class Ended:
    """An application that says when a request has ended, however it did."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.ended = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            if scope["type"] == "http":
                self.ended.set()


def behind_a_middleware(route: Route) -> Starlette:
    """An application whose answers pass through one of Starlette's function middlewares."""

    async def pass_on(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        return response

    return Starlette(routes=[route], middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_on)])
