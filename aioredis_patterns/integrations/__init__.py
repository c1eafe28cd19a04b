"""Other people's frameworks, each with what it needs of the patterns in its own module.

| I have | take |
|---|---|
| Starlette, FastAPI, Litestar, Quart, any ASGI application | `integrations.asgi` |
| OpenTelemetry, and want metrics and traces of the patterns | `integrations.opentelemetry` |
| FastAPI, and want to limit a route or a router by a dependency | `integrations.fastapi` |

The ASGI middlewares need nothing installed. The rest comes with the extra of its name in the README.
"""

from __future__ import annotations

__all__ = ()
