"""ResponseCacheMiddleware: responses that are the same for everybody, kept in a cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from email.utils import parsedate_to_datetime
from secrets import token_hex
from time import time
from typing import Any, Final, final

from redis.exceptions import RedisError

from aioredis_patterns.caches import Cache
from aioredis_patterns.errors import PatternError

from .answer import Answer, Recording, only_copied
from .directives import Directives
from .problem import Send
from .rate_limit import App, Scope
from .request import digest, value_of

__all__ = ("ResponseCacheMiddleware",)

_NEVER: Final = frozenset((b"authorization", b"range", b"transfer-encoding"))
_ABOUT_THE_BODY: Final = frozenset((b"content-length", b"content-type", b"content-encoding"))
_LONGEST: Final = 10 * 365 * 86_400
_DIGITS: Final = 10
_SILENT: Final = (RedisError, PatternError, OSError)


@final
class ResponseCacheMiddleware:
    """Answers GET requests with the response that the application gave to the same one before.

    The promise. Only a response of 200 to a GET is kept, and one that is for somebody in particular never: not if the
    request has `Authorization` or a body, not if the response has `Set-Cookie` or a `Cache-Control` of `private`,
    `no-store` or `no-cache`, not if the application looked at the session of a middleware outside, in the body at last.
    Nor is one that was broken off: that has not the length it says, whose client left before its end, or whose
    application failed. A request with cookies is answered only by a response that says `public`, gives an `s-maxage` or
    names `Cookie` in its `Vary`, and leaves only such a one. Responses that vary are kept for each value of what they
    vary by. Each has an `ETag`, and whoever names it in `If-None-Match` gets 304 without a body; a kept one tells its
    `Age`.

    One that the application was making while one of its tags was invalidated is not kept either: who asks after that
    gets nothing from before.

    The limit of the promise. A response lives for its `s-maxage` or `max-age`, or else for the cache's `ttl`; a
    request's `no-cache` is not heeded, its `no-store` is. Many who miss at one time all reach the application. A body
    that is longer than `max_body` is not kept; what streams is not held up.

    The cost. One round trip for a request that can be answered, two if its response varies. For one that cannot, one
    more before the application and one behind it; two each if its response varies.

    Args:
        app: The application.
        cache: Of bytes: `Cache(redis, "pages", ttl=60, codec=Raw())`. What it does when Redis fails is its own to say
            (`on_error`); a response that cannot be kept is given nevertheless.
        tags: A function of the scope that says by which tags the response can be invalidated.
        max_body: Bytes of a body that is kept.

    Example:
        >>> async def hello(scope, receive, send):
        ...     print("working")
        ...     await send({"type": "http.response.start", "status": 200, "headers": []})
        ...     await send({"type": "http.response.body", "body": b"hello"})
        >>> from aioredis_patterns import Cache
        >>> from aioredis_patterns.codecs import Raw
        >>> app = ResponseCacheMiddleware(hello, cache=Cache(redis, "pages", ttl=60, codec=Raw()))
        >>> async def show(message):
        ...     if "body" in message:
        ...         print(message["body"])
        >>> scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
        >>> for _ in range(2):
        ...     await app(scope, None, show)
        working
        b'hello'
        b'hello'
    """

    __slots__ = ("_cache", "_max_body", "_tags", "app")

    def __init__(
        self,
        app: App,
        *,
        cache: Cache[bytes],
        tags: Callable[[Scope], Iterable[str]] | None = None,
        max_body: int = 2**20,
    ) -> None:
        self.app = app
        self._cache, self._tags, self._max_body = cache, tags, max_body

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Serve a connection."""
        if scope["type"] != "http" or scope["method"] != "GET" or _is_particular(scope):
            await self.app(scope, receive, send)
            return
        place = _place(scope)
        varies, found = await self._find(scope, place)
        if found is None:
            await self._ask(scope, receive, send, place, varies)
        else:
            await _unless_known(scope, found).send(send)

    async def _find(self, scope: Scope, place: str) -> tuple[bool, Answer | None]:
        """Whether the response varies, as far as is known; the one kept for such a request, with its age."""
        notes, answer = await self._read(place)
        varies = bool(notes.get("vary"))
        if varies:
            notes, answer = await self._read(_variant(scope, place, notes))
        if answer is None or (_has_cookies(scope) and not notes["cookies"]):
            return varies, None
        return varies, _aged(answer, max(int(time()) - notes["at"], 0))

    async def _read(self, place: str) -> tuple[dict[str, Any], Answer | None]:
        """What is kept there; nothing if that makes no sense."""
        packed = await self._cache.get(place)
        try:
            return ({}, None) if packed is None else _known(*Answer.unpack(packed))
        except (ValueError, TypeError, AttributeError, LookupError, OverflowError):
            return {}, None

    async def _ask(self, scope: Scope, receive: Any, send: Send, place: str, varies: bool) -> None:
        since, edition = await self._begin(place, varies)
        kept = None

        def wanted(answer: Answer) -> bool:
            return _may_be_kept(scope, answer)

        async def complete(answer: Answer) -> Answer:
            nonlocal kept
            if not recording.whole or not wanted(answer):  # the body may have looked at the session
                return answer
            tagged = _with_etag(answer)
            if since is not None:
                kept = await self._keep(scope, place, tagged, since, edition)
            return _unless_known(scope, tagged)

        recording = Recording(receive, send, self._max_body, wanted, complete)
        try:
            await self.app(only_copied(scope), recording.receive, recording)
        except Exception:
            if kept is not None:
                await self._forget(kept)  # what failed may have broken off, and been ended in order
            raise

    async def _begin(self, place: str, varies: bool) -> tuple[str | None, dict[str, Any]]:
        """The stamp of before the application, if it could be had, and what its response varies by, read behind that.

        An edition that is there after the stamp, and still is when the signpost is written, has no older response in
        it: what was made before an invalidation went into an edition that is gone.
        """
        try:
            since = await self._cache.stamp(place)
            edition, _ = await self._read(place) if varies else ({}, None)
        except _SILENT:
            return None, {}
        return since, edition

    async def _keep(self, scope: Scope, place: str, answer: Answer, since: str, edition: dict[str, Any]) -> str | None:
        """Where it is kept from now on, if it could be."""
        told = Directives.of(answer.value(b"cache-control"))
        vary = _names(answer.value(b"vary"))
        notes = {"at": int(time()), "cookies": _is_for_cookies(told, vary), "vary": [], "edition": ""}
        life = _life_of(answer, told)
        ttl = None if life is None else min(life, _LONGEST)
        tags = list(self._tags(scope)) if self._tags is not None else []
        packed = answer.pack(notes)
        try:
            if not vary:
                return place if await self._cache.set(place, packed, ttl=ttl, tags=tags, since=since) else None
            if edition.get("vary") != vary:
                edition = notes | {"vary": vary, "edition": token_hex(8)}
            signpost = Answer(answer.status, [], b"").pack(edition)
            if not await self._cache.set(place, signpost, ttl=ttl, tags=tags, since=since):
                return None
            variant = _variant(scope, place, edition)
            await self._cache.set(variant, packed, ttl=ttl, tags=tags)
        except _SILENT:
            return None  # it is made again for the next
        return variant

    async def _forget(self, place: str) -> None:
        try:
            await self._cache.delete(place)
        except _SILENT:
            pass  # it goes with its time


def _is_particular(scope: Scope) -> bool:
    """Whether the request is for an answer of its own."""
    if not _NEVER.isdisjoint(name for name, _ in scope["headers"]) or _asks_not_to_store(scope):
        return True
    return value_of(scope, b"content-length") not in (None, b"0")


def _asks_not_to_store(scope: Scope) -> bool:
    return Directives.of(value_of(scope, b"cache-control")).no_store


def _may_be_kept(scope: Scope, answer: Answer) -> bool:
    vary, told = _names(answer.value(b"vary")), Directives.of(answer.value(b"cache-control"))
    if answer.status != 200 or told.is_private or _life_of(answer, told) == 0 or "*" in vary:
        return False
    if answer.value(b"set-cookie") is not None or getattr(scope.get("session"), "accessed", False):
        return False
    return not _has_cookies(scope) or _is_for_cookies(told, vary)


def _life_of(answer: Answer, told: Directives) -> int | None:
    """Seconds for which a response may be given; None when it says nothing of it."""
    expires = answer.value(b"expires")
    if told.max_age is not None:
        return max(told.max_age - _age_of(answer), 0)
    if expires is None:
        return None
    try:
        return max(int(parsedate_to_datetime(expires.decode("latin-1")).timestamp() - time()), 0)
    except (ValueError, OverflowError):
        return 0


def _known(notes: dict[str, Any], answer: Answer) -> tuple[dict[str, Any], Answer]:
    """What was noted, each of its type, and the response.

    Raises:
        ValueError, TypeError, LookupError, OverflowError: That makes no sense.
    """
    vary, edition = [str(name) for name in notes["vary"]], str(notes["edition"])
    if not all(map(str.isascii, vary)) or bool(vary) != bool(edition):
        raise ValueError("this is no note of a response")
    return {"at": int(notes["at"]), "cookies": bool(notes["cookies"]), "vary": vary, "edition": edition}, answer


def _aged(answer: Answer, seconds: int) -> Answer:
    """The response as it is after some time in the cache."""
    fields = [field for field in answer.fields if field[0].lower() != b"age"]
    return Answer(answer.status, [*fields, (b"age", b"%d" % (_age_of(answer) + seconds))], answer.body)


def _age_of(answer: Answer) -> int:
    """How old the response says it was when it came."""
    said = answer.value(b"age") or b""
    return int(said) if said.isdigit() and len(said) < _DIGITS else 0


def _is_for_cookies(told: Directives, vary: list[str]) -> bool:
    """Whether a response may be given to a request with cookies, on which it may depend without saying so."""
    return told.is_public or "cookie" in vary


def _has_cookies(scope: Scope) -> bool:
    return value_of(scope, b"cookie") is not None


def _with_etag(answer: Answer) -> Answer:
    if answer.value(b"etag") is not None:
        return answer
    tag = b'W/"%b"' % digest(answer.body)[:32].encode()
    return Answer(answer.status, [*answer.fields, (b"etag", tag)], answer.body)


def _unless_known(scope: Scope, answer: Answer) -> Answer:
    """The response, or 304 when the client has it already."""
    known = value_of(scope, b"if-none-match") or b""
    tags = {tag.strip().removeprefix(b"W/") for tag in known.split(b",")}
    tag = (answer.value(b"etag") or b"").removeprefix(b"W/")
    if not tag or (tag not in tags and known.strip() != b"*"):
        return answer
    return Answer(304, [field for field in answer.fields if field[0].lower() not in _ABOUT_THE_BODY], b"")


def _names(vary: bytes | None) -> list[str]:
    """What a response varies by, in one order."""
    return sorted({name.strip().lower() for name in (vary or b"").decode("latin-1").split(",")} - {""})


def _place(scope: Scope) -> str:
    host = value_of(scope, b"host") or b""
    return digest(scope.get("scheme", "http"), host, scope["path"], scope["query_string"])


def _variant(scope: Scope, place: str, edition: Mapping[str, Any]) -> str:
    """Where the response is kept that goes with the request's values of what it varies by."""
    vary: list[str] = edition["vary"]
    values = [value_of(scope, name.encode("latin-1")) for name in vary]
    said = (b"none" if value is None else b"=" + value for value in values)
    return digest(place, edition["edition"], *vary, *said)
