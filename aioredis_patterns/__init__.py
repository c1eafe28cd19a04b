"""Redis patterns for asyncio: each an `async with` or an `await`, decided on the server in one Lua script.

| You need | Module | Names |
|---|---|---|
| a connection that many tasks share | `client` | `connect`, `PipelinedRedis` |
| one at a time, over processes and machines | `locks` | `Lock`, `Lease`, `LockOwner` |
| a value loaded once and kept for a while | `caches` | `Cache` |
| a real server for demos and tests | `embedded` | `embedded_server` |

Every pattern takes any `redis.asyncio.Redis` or `RedisCluster` first. `errors` draws the tree of what can be raised;
`codecs` turn values into bytes; `events` tell what a pattern did; `types` has what all of them share.

    >>> async with Lock(redis, "invoice:42", lease=10) as lease:
    ...     lease.fence > 0
    True
"""

from __future__ import annotations

from aioredis_patterns.caches import Cache
