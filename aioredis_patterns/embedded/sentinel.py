"""A primary with replicas, watched by Sentinels, on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from redis.exceptions import ResponseError

from .process import HOST
from .server import EmbeddedServer, embedded_servers
from .settling import in_step, settled

__all__ = ("EmbeddedSentinel", "embedded_sentinel")

_REPLICATION: Final = ("--repl-diskless-sync-delay", "0")  # a replica need not wait for others

# All in milliseconds: how soon a silent primary counts as down, and how soon a failover may be tried again.
_PATIENCE: Final = ("down-after-milliseconds", 1000, "failover-timeout", 5000)
_PERIODS: Final = ("INFO-PERIOD", 500, "PUBLISH-PERIOD", 200)


@dataclass(frozen=True, slots=True)
class EmbeddedSentinel:
    """The handle of a watched primary, made by `embedded_sentinel`.

    Roles are those at the start: after a failover one of `replicas` is the primary. The Sentinels know who is.

    Example:
        ```python
        async with embedded_sentinel() as watched:
            await watched.primary.kill()  # a replica takes over
            await watched.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", watched.name)
        ```
    """

    name: str
    """What the Sentinels call the primary."""

    primary: EmbeddedServer
    replicas: tuple[EmbeddedServer, ...]
    sentinels: tuple[EmbeddedServer, ...]

    @property
    def url(self) -> str:
        """Where to connect to: `redis+sentinel://127.0.0.1:14711/primary/0`, the first Sentinel."""
        return f"redis+sentinel://{HOST}:{self.sentinels[0].port}/{self.name}/0"


@asynccontextmanager
async def embedded_sentinel(
    *,
    replicas: int = 1,
    sentinels: int = 3,
    name: str = "primary",
    args: Sequence[str] = (),
    program: str | None = None,
) -> AsyncIterator[EmbeddedSentinel]:
    """Run a primary, its replicas and Sentinels for as long as the block lasts.

    The promise: when the block begins, every replica is in step with the primary, and every Sentinel knows all
    replicas and all other Sentinels. A primary that is killed or paused is replaced after some 2 s if a majority of
    the Sentinels runs. The servers are as from `embedded_server`, always of their own: `REDIS_URL` is not looked at.

    Cost: about 1.5 s to start; 4 s before Redis 7, whose Sentinels talk to one another more rarely.

    Args:
        replicas: How many servers copy the primary.
        sentinels: How many Sentinels watch; a majority must agree to replace the primary.
        name: What the Sentinels call the primary.
        args: Further options of the primary and of the replicas.
        program: Path or name of the server program.

    Raises:
        ServerUnavailableError: A server did not start, or they did not agree within 30 s.

    Example:
        ```python
        async with embedded_sentinel() as watched, connect(watched.url) as redis:
            await redis.set("greeting", "hello")
        ```
    """
    options = (*_REPLICATION, *args)
    async with AsyncExitStack() as stack:
        [primary] = await stack.enter_async_context(embedded_servers(1, args=options, program=program))
        following = (*options, "--replicaof", HOST, str(primary.port))
        copies = await stack.enter_async_context(embedded_servers(replicas, args=following, program=program))
        await settled("the replicas", [partial(in_step, copy) for copy in copies])
        watchers = await stack.enter_async_context(embedded_servers(sentinels, args=("--sentinel",), program=program))
        watched = EmbeddedSentinel(name, primary, tuple(copies), tuple(watchers))
        for watcher in watchers:
            await _watch(watcher, watched)
        await settled("the Sentinels", [partial(_knows_all, watcher, watched) for watcher in watchers])
        yield watched


async def _watch(sentinel: EmbeddedServer, watched: EmbeddedSentinel) -> None:
    with suppress(ResponseError):  # Redis 6.2 keeps its own, longer periods
        await sentinel.ask("SENTINEL", "DEBUG", *_PERIODS)
    majority = len(watched.sentinels) // 2 + 1
    await sentinel.ask("SENTINEL", "MONITOR", watched.name, HOST, str(watched.primary.port), majority)
    await sentinel.ask("SENTINEL", "SET", watched.name, *_PATIENCE)


async def _knows_all(sentinel: EmbeddedServer, watched: EmbeddedSentinel) -> bool:
    fields = await sentinel.ask("SENTINEL", "MASTER", watched.name)
    state = dict(zip(fields[::2], fields[1::2], strict=True))
    found = (int(state["num-slaves"]), int(state["num-other-sentinels"]))
    return state["flags"] == "master" and found == (len(watched.replicas), len(watched.sentinels) - 1)
