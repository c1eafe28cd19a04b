"""What differs between the versions of redis-py, and which of its defaults this library does without."""

from __future__ import annotations

import inspect
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

__all__ = ("careful_options", "never_again")


def never_again() -> Retry:
    """The retry policy that sends nothing a second time."""
    return Retry(NoBackoff(), 0)


def careful_options() -> dict[str, Any]:
    """Options for connections of our own: nothing is sent twice, and a connection with unread data is not reused.

    Since 8.1 maintenance notifications are on by default, and with them the pool's check for unread data is off.
    """
    options: dict[str, Any] = {"retry": never_again()}
    if "maint_notifications_config" in inspect.signature(Redis.__init__).parameters:
        from redis.maint_notifications import MaintNotificationsConfig  # noqa: PLC0415

        options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    return options
