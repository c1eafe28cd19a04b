"""Caches: values that are costly to get, kept in Redis and loaded once however many ask.

| You want | Use |
|---|---|
| a value by key, loaded when it is missing | `Cache.get_or_load` |
| many of them, with one query for what is missing | `Cache.get_or_load_many` |
| the results of a function, by its arguments | `@cache.cached(key="{user_id}")` |
| answers without waiting, a little old now and then | `Cache(..., stale_ttl=...)` |
| answers while the database is away | `Cache(..., stale_ttl=..., loading=Loading(patience=None))` |
| popular values never to expire under load | `Cache(..., loading=Loading(early=1))` |
| a ttl, tags or an etag that only the loader knows | a loader that brings `Loaded(...)` |
| to know why it answers as it does | `Cache.explain(key)` |
| values in the process, dropped when they change | `Cache(..., near=NearCache())` |
| the database and the cache written by one call | `WriteThrough(cache, write)` |
| the database written a moment later, many rows at once | `WriteBehind(cache, write_many)` |
| to forget everything about a team at once | `tags=["team:7"]`, then `Cache.invalidate("team:7")` |
"""

from .cache import Cache
from .contents import DELETED, Deleted
from .decorator import Cached
from .explanation import Explanation
from .leader import Loading
from .loaded import NOT_MODIFIED, Loaded, NotModified, Stale
from .loaders import Loader, ManyLoader
from .near import NearCache
from .write_behind import DeadWrite, WriteBehind
from .write_through import WriteThrough

__all__ = (
    "Cache",
    "Cached",
    "DELETED",
    "DeadWrite",
    "Deleted",
    "Explanation",
    "Loaded",
    "Loader",
    "Loading",
    "ManyLoader",
    "NOT_MODIFIED",
    "NearCache",
    "NotModified",
    "Stale",
    "WriteBehind",
    "WriteThrough",
)
