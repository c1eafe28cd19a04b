"""Sessions: who is using a web service, from login to logout, and what it remembers of him meanwhile.

Which one do I want?

| I want | take |
|---|---|
| to begin, find, change and end sessions | `SessionStore` |
| what a request reads and changes | the `Session` that the store gives |
| to show a user where he is logged in, and to end one of these | `SessionStore.list`, which gives `SessionInfo` |
| all of it in a web framework, with the cookie | `SessionMiddleware` in `aioredis_patterns.integrations.asgi` |
"""

from __future__ import annotations

from .session import Session, SessionInfo
from .store import SessionStore

__all__ = ("Session", "SessionInfo", "SessionStore")
