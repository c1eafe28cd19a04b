"""Audit: what was changed of the flags, by whom and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aioredis_patterns._core.stored import Stored
from aioredis_patterns.codecs import codec_for

from .flag import FLAG_CODEC, Flag

__all__ = ("FlagChange", "USERS_CODEC", "change_of")

USERS_CODEC = codec_for(tuple[str, ...])


@dataclass(frozen=True, slots=True)
class FlagChange:
    """One change of a flag.

    Example:
        >>> flags = FeatureFlags(redis, "audited")
        >>> await flags.set("new-ui", percentage=10, by="ada") and None
        >>> [(change.flag, change.action, change.by) for change in await flags.audit()]
        [('new-ui', 'set', 'ada')]
    """

    flag: str
    #: set, delete, grant or revoke
    action: str
    #: By the server's clock.
    at: datetime
    by: str | None
    #: How the flag was set; None for one that was not there, and where users were granted or revoked.
    before: Flag | None = None
    after: Flag | None = None
    #: Who was granted or revoked.
    users: tuple[str, ...] = ()


def change_of(entry: list[Any]) -> FlagChange:
    """The change that an entry of the stream tells of."""
    fields = dict(zip(entry[1][::2], entry[1][1::2], strict=True))
    with Stored("a change of a flag"):
        return _change(entry[0], fields)


def _change(id_: bytes, fields: dict[bytes, bytes]) -> FlagChange:
    before, after = fields[b"before"], fields[b"after"]
    return FlagChange(
        flag=fields[b"flag"].decode(),
        action=fields[b"action"].decode(),
        at=datetime.fromtimestamp(int(id_.split(b"-")[0]) / 1000, UTC),
        by=fields[b"by"].decode() or None,
        before=FLAG_CODEC.decode(before) if before else None,
        after=FLAG_CODEC.decode(after) if after else None,
        users=USERS_CODEC.decode(fields[b"users"] or b"[]"),
    )
