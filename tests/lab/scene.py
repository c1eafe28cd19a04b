"""What a storm needs to know of where it takes place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from aioredis_patterns.embedded import EmbeddedServer
from tests.lab.crew import Crew
from tests.support.faults import FaultProxy

__all__ = ("FOR_ONE_SERVER", "KEEPING", "Disturb", "Scene", "nothing")

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
    #: Whether nothing that was answered is ever lost here.
    keeps: bool = True
    #: When another server was in the place of a primary, and everybody could know.
    changes: list[float] = field(default_factory=list)
    #: Held by whoever stops or ends a server, so that only one is away at a time.
    away: asyncio.Lock = field(default_factory=asyncio.Lock)

    def calm(self) -> None:
        """End all that the proxies do."""
        for proxy in self.proxies:
            proxy.clear()
            proxy.heal()


Disturb = Callable[[Scene, Crew, float], Coroutine[Any, Any, None]]
"""One disturbance, of a size from 0 to 1; it has ended when it returns."""


async def nothing(scene: Scene, crew: Crew, size: float) -> None:
    """What never happens in a scene."""


FOR_ONE_SERVER = (
    *("connections reset", "replies lost", "reply halved", "latency", "black hole"),  # there is no proxy
    *("CLIENT PAUSE", "server stopped", "server killed"),  # a migration or an election would fail half done
)
"""What happens where one server is alone behind a proxy."""
