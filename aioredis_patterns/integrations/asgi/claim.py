"""The claim of one request on its idempotency key: taken, kept while the application runs, answered or given up."""

from __future__ import annotations

from secrets import token_hex
from time import monotonic
from typing import Final, Literal, TypeAlias, final

from redis.exceptions import RedisError

from aioredis_patterns._core.renewal import LossReason, Renewals
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import shielded
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.errors import PatternError
from aioredis_patterns.types import AnyRedis

__all__ = ("Claim", "State")

_BEGIN: Final = Script(__package__, "idempotency_begin", repeatable=True)
_END: Final = Script(__package__, "idempotency_end", repeatable=True)
_RENEW: Final = Script(__package__, "idempotency_renew", repeatable=True, lease=True)

State: TypeAlias = Literal["begun", "mismatch", "running", "done"]
"""What became of a claim: it holds; the key came with another payload, is being answered, or was answered."""


@final
class Claim:
    """One request's hold on its key, under a lease that is renewed until it ends.

    Args:
        redis: Where the key is.
        key: Of the record.
        lease_ms: How long the key is held when the process dies.
    """

    __slots__ = ("__weakref__", "_lease_ms", "_open", "due", "key", "patience", "redis", "token", "valid_until")

    def __init__(self, redis: AnyRedis, key: str, lease_ms: int) -> None:
        self.redis, self.key, self.token = redis, key, token_hex(8)
        self._lease_ms = lease_ms
        self._open = False
        self.patience = lease_ms / 3000
        self.due = self.valid_until = 0.0

    async def begin(self, payload: str) -> tuple[State, bytes]:
        """Ask for the key; the state, and the answer that is kept when there is one."""
        sent = monotonic()
        try:
            state, answer = await _BEGIN(self.redis, self.key, self.token, payload, self._lease_ms)
        except BaseException:
            # The server may have said yes.
            link_of(self.redis).finish(self._tell(b"", 0), "redis idempotency key given up")
            raise
        self._open = state == b"begun"
        if self._open:
            self.on_renewed(sent, self._lease_ms)
            link_of(self.redis).companion(Renewals).add(self)
        return state.decode(), answer

    async def end(self, answer: bytes = b"", ttl_ms: int = 0) -> None:
        """Keep the answer if the key is still held, or free the key for want of one; once, and whatever Redis says."""
        if not self._open:
            return
        self._open = False
        link = link_of(self.redis)
        link.companion(Renewals).discard(self)
        await shielded(self._tell(answer, ttl_ms), link.deadline + 1)

    async def _tell(self, answer: bytes, ttl_ms: int) -> None:
        try:
            await _END(self.redis, self.key, self.token, ttl_ms, answer)
        except (RedisError, PatternError, OSError, TimeoutError):
            pass  # the lease ends it; the effect was made, and a failure of Redis must not hide its answer

    # What renews it asks ---------------------------------------------------------------------------------------------

    @property
    def renewal(self) -> Script:
        """The script that renews it."""
        return _RENEW

    def next_lease_ms(self) -> int:
        """For how long it is to be renewed."""
        return self._lease_ms if self._open else 0

    def on_renewed(self, sent: float, lease_ms: int) -> bool:
        """It was renewed; whether it is still wanted."""
        self.valid_until, self.due = sent + lease_ms / 1000, sent + self.patience
        return self._open

    def on_lost(self, reason: LossReason) -> None:
        """The key is another's: what this request answers is not kept, as the server compares the tokens."""
