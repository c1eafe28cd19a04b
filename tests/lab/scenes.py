"""Where a storm takes place: the servers, the proxies before them, and what can happen to nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from aioredis_patterns.embedded import EmbeddedServer, embedded_server
from tests.lab.crew import Crew
from tests.support.faults import FaultProxy

__all__ = ("KEEPING", "SCENES", "Disturb", "Scene")

KEEPING = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
"""Options of a server that has on its disk whatever it has answered."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a storm needs to know."""

    #: Where the workers connect to; through the proxies, where there are some.
    url: str
    #: Where one looks at what is left, past the proxies.
    direct_url: str
    servers: Sequence[EmbeddedServer]
    proxies: Sequence[FaultProxy] = ()
    #: Disturbances that exist here alone, or are drawn more often or never here, with their weights.
    own: dict[str, tuple[int, Disturb]] = field(default_factory=dict)
    #: Held by whoever stops or ends a server, so that only one is away at a time.
    away: asyncio.Lock = field(default_factory=asyncio.Lock)

    def calm(self) -> None:
        """End all that the proxies do."""
        for proxy in self.proxies:
            proxy.clear()
            proxy.heal()


Disturb = Callable[[Scene, Crew, float], Coroutine[Any, Any, None]]
"""One disturbance, of a size from 0 to 1; it has ended when it returns."""


@contextlib.asynccontextmanager
async def one_server(seed: int) -> AsyncIterator[Scene]:
    """One server that keeps what it has answered, behind a proxy."""
    async with embedded_server(args=KEEPING) as server, _proxy(server, seed) as proxy:
        yield Scene(proxy.url, server.url, [server], [proxy])


def _proxy(server: EmbeddedServer, seed: int) -> FaultProxy:
    return FaultProxy(str(server.host), int(server.port or 0), seed=seed)


SCENES: dict[str, Callable[[int], AbstractAsyncContextManager[Scene]]] = {"server": one_server}
"""Each takes the seed."""
