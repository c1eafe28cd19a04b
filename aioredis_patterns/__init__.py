"""Redis patterns for asyncio: each an `async with` or an `await`, decided on the server in one Lua script.

| You need | Room | Names |
|---|---|---|
| one at a time, over processes and machines | `locks` | `Lock`, `FairLock`, `ReadWriteLock` ... |
| a rate with bursts, a window, an even pace | `rate_limits` | `TokenBucket`, `Gcra`, `FixedWindow` ... |
| a value loaded once, and kept for a while | `caches` | `Cache`, `NearCache`, `WriteThrough` ... |
| work handed to whoever has time, none of it lost | `queues` | `Queue`, `PriorityQueue`, `Worker` ... |
| what happened, for all who want to know | `streams` | `EventLog`, `ConsumerGroup` |
| what was posted, by oneself and by whom one follows | `feeds` | `Feed` |
| who is how far ahead, of all or of a day | `leaderboards` | `Leaderboard`, `PeriodicLeaderboard` |
| how many, exactly or nearly, and of each day | `counters` | `Counter`, `UniqueCounter`, `Activity` ... |
| who is new, what has which tags, who follows whom | `collections` | `UniqueSet`, `TagIndex`, `SocialGraph` |
| things with parts that change one by one | `documents` | `Record`, `Document` |
| who is logged in, and what he had in his basket | `sessions` | `SessionStore`, `Session` |
| what is switched on for whom | `flags` | `FeatureFlags` |
| a connection that many tasks share | `client` | `connect`, `PipelinedRedis` |
| a real server for demos and tests | `embedded`, `testing` | `embedded_server`, fixtures of pytest |
| sessions, limits, caches of web pages; metrics | `integrations` | `integrations.asgi`, `.fastapi`, `.opentelemetry` |

Every name is imported from here, its room's page tells which one to take. A pattern takes any `redis.asyncio.Redis` or
`RedisCluster` as its first argument.

Three modules have their names to themselves: `codecs`, how values become bytes; `events`, what a pattern did, for
metrics and logs; `types`, what all patterns share. What can be raised is drawn as a tree in `errors`.

    >>> async with Lock(redis, "invoice:42", lease=10) as lease:
    ...     lease.valid_for > 9
    True
"""

from __future__ import annotations

from aioredis_patterns.caches import (
    DELETED,
    NOT_MODIFIED,
    Cache,
    Cached,
    DeadWrite,
    Deleted,
    Explanation,
    Loaded,
    Loader,
    Loading,
    ManyLoader,
    NearCache,
    NotModified,
    Stale,
    WriteBehind,
    WriteThrough,
)
from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.collections import (
    Neighbours,
    SocialGraph,
    Suggestion,
    TagIndex,
    UniqueSet,
)
from aioredis_patterns.counters import (
    Activity,
    Cohort,
    Counter,
    Estimate,
    ShardedCounter,
    UniqueCounter,
)
from aioredis_patterns.documents import Document, Record
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
    BarrierBrokenError,
    CodecError,
    LoadFailedError,
    LockError,
    LockLostError,
    LockTimeoutError,
    OutcomeUnknownError,
    PatternError,
    QueueFullError,
    RateLimitExceededError,
    RefusedError,
    ServerUnavailableError,
    SessionConflictError,
    TransportError,
)
from aioredis_patterns.feeds import Feed, FeedPage
from aioredis_patterns.flags import FeatureFlags, Flag, FlagChange
from aioredis_patterns.leaderboards import (
    Leaderboard,
    PeriodicLeaderboard,
    RankedMember,
    Standings,
)
from aioredis_patterns.locks import (
    Barrier,
    BarrierState,
    FairLock,
    FenceGuard,
    Latch,
    LeaderElection,
    Lease,
    Lock,
    LockOwner,
    MultiLock,
    ReadWriteLock,
    Redlock,
    ReentrantLease,
    ReentrantLock,
    Semaphore,
)
from aioredis_patterns.queues import (
    DeadLetter,
    DeadLetters,
    Delivery,
    Deque,
    PriorityQueue,
    Queue,
    QueueStats,
    Stack,
    Transaction,
    Worker,
)
from aioredis_patterns.rate_limits import (
    Ban,
    Bans,
    CompositeLimit,
    ConcurrencyLimit,
    Decision,
    Fallback,
    FixedWindow,
    Gcra,
    LeakyBucket,
    Limiter,
    LocalLease,
    ParsedLimit,
    Quota,
    Reservation,
    Shadow,
    SlidingLog,
    SlidingWindow,
    Slot,
    TokenBucket,
    parse_limit,
)
from aioredis_patterns.sessions import (
    Session,
    SessionInfo,
    SessionStore,
)
from aioredis_patterns.streams import (
    Consumer,
    ConsumerGroup,
    DeadEntries,
    DeadEntry,
    Entry,
    EntryDelivery,
    EventLog,
    GroupStats,
)

__all__ = (
    "Activity",
    "Ban",
    "Bans",
    "Barrier",
    "BarrierBrokenError",
    "BarrierState",
    "Cache",
    "Cached",
    "CodecError",
    "Cohort",
    "CompositeLimit",
    "ConcurrencyLimit",
    "Consumer",
    "ConsumerGroup",
    "Counter",
    "DELETED",
    "DeadEntries",
    "DeadEntry",
    "DeadLetter",
    "DeadLetters",
    "DeadWrite",
    "Decision",
    "Deleted",
    "Delivery",
    "Deque",
    "Document",
    "EmbeddedCluster",
    "EmbeddedSentinel",
    "EmbeddedServer",
    "Entry",
    "EntryDelivery",
    "Estimate",
    "EventLog",
    "Explanation",
    "FairLock",
    "Fallback",
    "FeatureFlags",
    "Feed",
    "FeedPage",
    "FenceGuard",
    "FixedWindow",
    "Flag",
    "FlagChange",
    "Gcra",
    "GroupStats",
    "Latch",
    "LeaderElection",
    "Leaderboard",
    "LeakyBucket",
    "Lease",
    "Limiter",
    "LoadFailedError",
    "Loaded",
    "Loader",
    "Loading",
    "LocalLease",
    "Lock",
    "LockError",
    "LockLostError",
    "LockOwner",
    "LockTimeoutError",
    "ManyLoader",
    "MultiLock",
    "NOT_MODIFIED",
    "NearCache",
    "Neighbours",
    "NotModified",
    "OutcomeUnknownError",
    "ParsedLimit",
    "PatternError",
    "PeriodicLeaderboard",
    "PipelinedRedis",
    "PriorityQueue",
    "Queue",
    "QueueFullError",
    "QueueStats",
    "Quota",
    "RankedMember",
    "RateLimitExceededError",
    "ReadWriteLock",
    "Record",
    "Redlock",
    "ReentrantLease",
    "ReentrantLock",
    "RefusedError",
    "Reservation",
    "Semaphore",
    "ServerUnavailableError",
    "Session",
    "SessionConflictError",
    "SessionInfo",
    "SessionStore",
    "Shadow",
    "ShardedCounter",
    "SlidingLog",
    "SlidingWindow",
    "Slot",
    "SocialGraph",
    "Stack",
    "Stale",
    "Standings",
    "Suggestion",
    "TagIndex",
    "TokenBucket",
    "Transaction",
    "TransportError",
    "UniqueCounter",
    "UniqueSet",
    "Worker",
    "WriteBehind",
    "WriteThrough",
    "connect",
    "embedded_cluster",
    "embedded_sentinel",
    "embedded_server",
    "embedded_servers",
    "parse_limit",
)
