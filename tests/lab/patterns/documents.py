"""Documents in the laboratory: of changes made at one time none is lost, be they of one field or of several."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, replace
from typing import Any, final

from redis.asyncio import Redis

from aioredis_patterns.documents import Document, Record
from tests.lab.patterns.tallies import Tallying

__all__ = ("DOCUMENTS", "InADocument", "InARecord")

KEY = "all"


@dataclass(frozen=True, slots=True)
class Sums:
    """What the members have, each in a field of its own."""

    member_0: int = 0
    member_1: int = 0
    member_2: int = 0


@final
class InADocument:
    """Sums that are the members of one document."""

    def __init__(self, redis: Redis, name: str) -> None:
        self._documents = Document(redis, name)

    async def increment(self, member: str) -> Any:
        def add(sums: dict[str, int]) -> dict[str, int]:
            return {**sums, field: sums[field] + 1}

        field = member.replace(" ", "_")
        while (changed := await self._documents.modify(KEY, add)) is None:
            await self._documents.compare_and_set(KEY, None, asdict(Sums()))
        return changed[field]


@final
class InARecord:
    """Sums that are the fields of one record, added to by the server or by the client."""

    def __init__(self, redis: Redis, name: str) -> None:
        self._redis, self._key = redis, f"arp:{{{name}|{KEY}}}:record"
        self._records = Record(redis, name, Sums)

    async def increment(self, member: str) -> Any:
        def add(sums: Sums) -> Sums:
            return replace(sums, **{field: getattr(sums, field) + 1})

        field = member.replace(" ", "_")
        await self._redis.hsetnx(self._key, field, "0")  # unlike `set` it does no harm when it comes late
        if random.random() < 0.5:  # no secret
            return getattr(await self._records.modify(KEY, add), field)
        return await self._records.increment(KEY, field)


DOCUMENTS = (
    Tallying("Document", InADocument, (":document",)),
    Tallying("Record", InARecord, (":record",)),
)
