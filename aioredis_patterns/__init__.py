"""Redis patterns for asyncio: each an `async with` or an `await`, decided on the server in one Lua script.

| You need | Room | Names |
|---|---|---|
| one at a time, over processes and machines | `locks` | `Lock` |
| a rate with bursts, a window, an even pace | `rate_limits` | `TokenBucket`, `Gcra`, `FixedWindow` ... |
| a value loaded once, and kept for a while | `caches` | `Cache` |
| a connection that many tasks share | `client` | `connect`, `PipelinedRedis` |
| a real server for demos and tests | `embedded` | `embedded_server` |

Every name is imported from here, its room's page tells which one to take. A pattern takes any `redis.asyncio.Redis` or
`RedisCluster` as its first argument.

Three modules have their names to themselves: `codecs`, how values become bytes; `events`, what a pattern did, for
metrics and logs; `types`, what all patterns share. What can be raised is drawn as a tree in `errors`.

    >>> async with Lock(redis, "invoice:42", lease=10) as lease:
    ...     lease.valid_for > 9
    True
"""

from __future__ import annotations

from aioredis_patterns.caches import Cache, Cached, Loader, Loading, ManyLoader
from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.embedded import (
    EmbeddedCluster,
    EmbeddedSentinel,
    EmbeddedServer,
    embedded_cluster,
    embedded_sentinel,
    embedded_server,
    embedded_servers,
)
from aioredis_patterns.errors import (
    CodecError,
    LockError,
    LockLostError,
    LockTimeoutError,
    OutcomeUnknownError,
    PatternError,
    RateLimitExceededError,
    RefusedError,
    ServerUnavailableError,
    TransportError,
)
from aioredis_patterns.locks import Lease, Lock, LockOwner
from aioredis_patterns.rate_limits import (
    Decision,
    FixedWindow,
    Gcra,
    LeakyBucket,
    Limiter,
    SlidingLog,
    SlidingWindow,
    TokenBucket,
)

__all__ = (
    "Cache",
    "Cached",
    "CodecError",
    "Decision",
    "EmbeddedCluster",
    "EmbeddedSentinel",
    "EmbeddedServer",
    "FixedWindow",
    "Gcra",
    "LeakyBucket",
    "Lease",
    "Limiter",
    "Loader",
    "Loading",
    "Lock",
    "LockError",
    "LockLostError",
    "LockOwner",
    "LockTimeoutError",
    "ManyLoader",
    "OutcomeUnknownError",
    "PatternError",
    "PipelinedRedis",
    "RateLimitExceededError",
    "RefusedError",
    "ServerUnavailableError",
    "SlidingLog",
    "SlidingWindow",
    "TokenBucket",
    "TransportError",
    "connect",
    "embedded_cluster",
    "embedded_sentinel",
    "embedded_server",
    "embedded_servers",
)
