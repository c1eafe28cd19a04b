"""IdempotencyMiddleware: a request that is sent again is answered again, and not done again."""

from __future__ import annotations

from collections.abc import Collection
from inspect import isawaitable
from typing import Any, Final, final

from aioredis_patterns._core.durations import lease_ms, ttl_ms
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns.types import AnyRedis, Seconds

from .answer import Answer, Recording, only_copied
from .claim import Claim
from .headers import Field
from .problem import Send, answer_problem
from .rate_limit import App, Scope
from .request import digest, value_of
from .rule import Key

__all__ = ("IdempotencyMiddleware",)

_HEADER: Final = b"idempotency-key"
_LONGEST_KEY: Final = 255
_REPLAYED: Final = (b"idempotency-replayed", b"true")
_SOON: Final = (b"retry-after", b"1")
_PASSING: Final = (408, 425, 429)  # these ask for the same request once more
_NOT_KEPT: Final = "the request was done, and its answer was too long to be kept, or broken off"

_REFUSED: Final = {
    "missing": (400, "this request needs an Idempotency-Key"),
    "malformed": (400, f"an Idempotency-Key is one text of 1 to {_LONGEST_KEY} printable characters"),
    "long": (413, "the body is too long for a request with an Idempotency-Key"),
    "mismatch": (422, "this Idempotency-Key was used for another request"),
    "running": (409, "a request with this Idempotency-Key is being done"),
}


@final
class IdempotencyMiddleware:
    """Lets clients repeat a request of which they do not know what became, by an `Idempotency-Key` that they chose.

    The promise. Of all requests with one key, one at a time reaches the application. Once it was answered, whoever
    repeats it within `ttl` gets that answer, marked by `Idempotency-Replayed: true`. One that comes meanwhile is
    answered with 409 and `Retry-After`, one with another payload with 422, all as problem documents (RFC 9457; the
    header is that of draft-ietf-httpapi-idempotency-key-header). A key belongs to a principal, a method and a path.

    The limit of the promise. The effect is the application's, and the answer is kept in Redis: a process that dies
    after the one and before the other frees the key when its lease ends, and a repetition has the effect again. So it
    does when Redis fails in between, and when a process stalls for longer than its lease. Make the key part of the
    effect, in a column that is unique for example, where that must not be. An answer of 5xx, 408, 425 or 429, or an
    exception before the answer's end, frees the key at once. `Set-Cookie` is not repeated. Of an answer longer than
    `max_body`, or one that was broken off as its client left, only is known that it was given: a repetition gets 409.

    The cost. Two round trips for a request with a key, and a hash per key for `ttl`; none for other requests. The
    body is read before the application runs; its answer may stream.

    Args:
        app: The application.
        redis: Any asyncio client of redis-py.
        required: Refuse requests of these methods that have no key.
        principal: A function of the scope, async or not, that says on whose behalf a request is made. Without it,
            whoever sends the same `Authorization` is the same, and so are all who send none: name one where users are
            known by a cookie, or their tokens change.
        methods: Which requests are looked at.
        ttl: Seconds that an answer is kept.
        lease: Seconds until the key of a process that died is free; it is renewed while the application runs.
        max_body: Bytes of a request, and of an answer that is kept.
        name: Applications of one name share their keys.
        prefix: First part of every key.

    Example:
        >>> async def pay(scope, receive, send):
        ...     await send({"type": "http.response.start", "status": 201, "headers": []})
        ...     await send({"type": "http.response.body", "body": b"paid"})
        >>> app = IdempotencyMiddleware(pay, redis=redis)
        >>> async def receive():
        ...     return {"type": "http.request", "body": b"20 euros"}
        >>> async def show(message):
        ...     print(message.get("headers", message.get("body")))
        >>> headers = [(b"idempotency-key", b'"8e03978e-40d5-43dd-bc93-6894a57f9324"')]
        >>> scope = {"type": "http", "method": "POST", "path": "/pay", "query_string": b"", "headers": headers}
        >>> for _ in range(2):
        ...     await app(scope, receive, show)
        []
        b'paid'
        [(b'idempotency-replayed', b'true')]
        b'paid'
    """

    __slots__ = (
        *("_keys", "_lease_ms", "_max_body", "_methods", "_principal", "_redis", "_required", "_ttl_ms"),
        "app",
    )

    def __init__(  # noqa: PLR0913  # what it keeps, and for whom, is said in one place
        self,
        app: App,
        *,
        redis: AnyRedis,
        required: bool = False,
        principal: Key[Scope] | None = None,
        methods: Collection[str] = ("POST", "PATCH"),
        ttl: Seconds = 86_400,
        lease: Seconds = 30,
        max_body: int = 2**20,
        name: str = "idempotency",
        prefix: str = PREFIX,
    ) -> None:
        self.app = app
        self._redis, self._keys = redis, Keys(name, prefix)
        self._required, self._principal, self._methods = required, principal, frozenset(methods)
        self._ttl_ms, self._lease_ms, self._max_body = ttl_ms(ttl), lease_ms(lease), max_body

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Serve a connection."""
        if scope["type"] != "http" or scope["method"] not in self._methods:
            await self.app(scope, receive, send)
            return
        values = [value for name, value in scope["headers"] if name == _HEADER]
        if not values and not self._required:
            await self.app(scope, receive, send)
            return
        key = _key(values)
        if key is None:
            await _refuse("malformed" if values else "missing", send)
            return
        body = await _read(receive, self._max_body)
        if body is None:
            await _refuse("long", send)
            return
        await self._serve(scope, _again(body, receive), send, key, body)

    async def _serve(self, scope: Scope, receive: Any, send: Send, key: bytes, body: bytes) -> None:
        place = digest(await self._who(scope), scope["method"], scope["path"], key)
        claim = Claim(self._redis, self._keys.key("request", place), self._lease_ms)
        try:
            state, kept = await claim.begin(
                digest(scope["query_string"], value_of(scope, b"content-type") or b"", body)
            )
            if state == "begun":
                await self._run(claim, scope, receive, send)
            elif state == "done":
                await _repeat(kept, send)
            else:
                await _refuse(state, send, [_SOON] if state == "running" else [])
        finally:
            await claim.end()  # where it was answered, it has ended already

    async def _run(self, claim: Claim, scope: Scope, receive: Any, send: Send) -> None:
        async def complete(answer: Answer) -> Answer:
            if answer.status < 500 and answer.status not in _PASSING:
                fields = [field for field in answer.fields if field[0].lower() != b"set-cookie"]
                kept = Answer(answer.status, fields, answer.body)
                await claim.end(kept.pack({"whole": recording.whole}), self._ttl_ms)
            return answer

        recording = Recording(receive, send, self._max_body, lambda _: True, complete)
        await self.app(only_copied(scope), recording.receive, recording)

    async def _who(self, scope: Scope) -> str | bytes:
        if self._principal is None:
            return value_of(scope, b"authorization") or b""
        who = self._principal(scope)
        return str((await who if isawaitable(who) else who) or "")


async def _repeat(kept: bytes, send: Send) -> None:
    answer = _whole(kept)
    if answer is not None:
        await answer.send(send, [_REPLAYED])
    else:
        await answer_problem(409, _NOT_KEPT, send, [_REPLAYED])


def _whole(kept: bytes) -> Answer | None:
    """The answer, if all of it was kept; what was done is not done again, whatever has become of that."""
    try:
        notes, answer = Answer.unpack(kept)
        return answer if notes["whole"] else None
    except (ValueError, TypeError, AttributeError, LookupError):
        return None


async def _refuse(reason: str, send: Send, more: list[Field] | None = None) -> None:
    status, detail = _REFUSED[reason]
    await answer_problem(status, detail, send, more or [])


async def _read(receive: Any, most: int) -> bytes | None:
    """The body; None when it is too long, or the client left before it had sent all of it."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > most or message["type"] == "http.disconnect":
            return None
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes, receive: Any) -> Any:
    """A `receive` that gives the body first, which was read already."""
    given = False

    async def receive_again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def _key(values: list[bytes]) -> bytes | None:
    """The key, which is a string of a structured field, or bare as many clients send it; None when it is none."""
    if len(values) != 1:
        return None
    key = values[0].strip()
    if len(key) > 1 and key[:1] == key[-1:] == b'"':
        key = key[1:-1]
    return key if 0 < len(key) <= _LONGEST_KEY and all(32 <= byte < 127 for byte in key) else None
