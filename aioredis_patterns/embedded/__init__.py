"""Real servers for demos and tests: found, started on a free port, and gone afterwards.

=========================  ===========================================================================
I want                     Use
=========================  ===========================================================================
a server                   `embedded_server`; a handle to pause, kill and restart it
several, independent       `embedded_servers`, as a Redlock wants them
=========================  ===========================================================================
"""

from __future__ import annotations

from aioredis_patterns.embedded.server import EmbeddedServer, embedded_server, embedded_servers

__all__ = ("EmbeddedServer", "embedded_server", "embedded_servers")
