"""The answers to requests that are not served: problem documents, as of RFC 9457."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from aioredis_patterns.rate_limits import Decision

from .headers import Field, retry_after

__all__ = ("Send", "answer_problem", "problem", "refuse")

Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_TYPES: Final = "https://iana.org/assignments/http-problem-types#"
_POLICY_VIOLATION: Final = 1008  # of the codes that close a WebSocket


def problem(decision: Decision) -> tuple[int, list[Field], bytes]:
    """Status, fields and body: 429, or 503 where Redis fails and nobody is let in without it."""
    if decision.source == "closed":
        status, kind, title, when = 503, "temporary-reduced-capacity", "Temporarily reduced capacity", []
    elif decision.source == "ban":
        status, kind, title, when = 429, "abnormal-usage-detected", "Abnormal usage detected", retry_after(decision)
    else:
        status, kind, title, when = 429, "quota-exceeded", "Quota exceeded", retry_after(decision)
    document = {"type": _TYPES + kind, "title": title, "status": status, "violated-policies": [decision.policy]}
    described, body = _encoded(document)
    return status, described + when, body


async def answer_problem(status: int, detail: str, send: Send, more: Sequence[Field] = ()) -> None:
    """Answer a request with a status that says what kind of problem it is, and what it is in particular."""
    phrase = HTTPStatus(status).phrase
    described, body = _encoded({"type": "about:blank", "title": phrase, "status": status, "detail": detail})
    await send({"type": "http.response.start", "status": status, "headers": [*described, *more]})
    await send({"type": "http.response.body", "body": body})


async def refuse(decision: Decision, scope: Mapping[str, Any], send: Send, more: Sequence[Field] = ()) -> None:
    """Answer a request or a WebSocket's handshake; a server that cannot answer that with a page closes it."""
    prefix = "http.response"
    if scope["type"] == "websocket":
        prefix = "websocket.http.response"
        if prefix not in (scope.get("extensions") or ()):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "rate limit exceeded"})
            return
    status, fields, body = problem(decision)
    await send({"type": f"{prefix}.start", "status": status, "headers": [*fields, *more]})
    await send({"type": f"{prefix}.body", "body": body})


def _encoded(document: Mapping[str, Any]) -> tuple[list[Field], bytes]:
    body = json.dumps(document).encode()
    return [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))], body
