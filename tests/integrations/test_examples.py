"""What the docstrings of the integrations show."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from aioredis_patterns.integrations.asgi import (
    ClientAddress,
    IdempotencyMiddleware,
    RateLimitMiddleware,
    RequestSession,
    ResponseCacheMiddleware,
    SessionMiddleware,
)
from aioredis_patterns.integrations.fastapi import RateLimit
from tests.support.examples import run

SHOWN = (
    *(ClientAddress, ClientAddress.__call__, RateLimitMiddleware, RateLimit),
    *(IdempotencyMiddleware, ResponseCacheMiddleware, RequestSession, SessionMiddleware),
)


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.__qualname__)
async def test_examples_run(shown: type, url: str) -> None:
    """A reader who types the examples of a docstring gets what they show."""
    await run(inspect.getdoc(shown) or "", url, import_module(shown.__module__))
