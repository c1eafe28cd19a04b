"""Feeds: what was posted, by oneself and by those one follows, the newest first.

Which one do I want?

| I want | take |
|---|---|
| the last things of somebody, page by page, while more arrive | `Feed` |
| the same, together with those of everybody he follows | `Feed`, and its `follow` |
| every reader to see every entry, in order, from where he was | `EventLog`, of the streams |
"""

from __future__ import annotations

from .feed import Feed
from .page import FeedPage

__all__ = ("Feed", "FeedPage")
