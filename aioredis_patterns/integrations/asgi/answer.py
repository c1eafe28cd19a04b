"""Answers of an application as values: recorded as they pass by, kept as bytes, given once more."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, final

from .headers import Field
from .problem import Send

__all__ = ("Answer", "Receive", "Recording", "only_copied")

_Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[_Message]]

_UNCOPIED = frozenset(("http.response.pathsend", "http.response.zerocopysend", "http.response.trailers"))


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    status: int
    fields: list[Field]
    body: bytes

    def pack(self, notes: Any = None) -> bytes:
        """The bytes of it, with what else is to be known of it in front."""
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.fields]
        return json.dumps([notes, self.status, fields]).encode() + b"\n" + self.body

    @classmethod
    def unpack(cls, packed: bytes) -> tuple[Any, Answer]:
        """What was noted, and the response.

        Raises:
            ValueError, TypeError, AttributeError: The bytes are none.
        """
        head, _, body = packed.partition(b"\n")
        notes, status, fields = json.loads(head)
        return notes, cls(
            int(status), [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields], body
        )

    def value(self, name: bytes) -> bytes | None:
        """The values of a field, joined as one; None when the response has none of that name."""
        values = [value for field, value in self.fields if field.lower() == name]
        return b", ".join(values) if values else None

    async def send(self, send: Send, more: Sequence[Field] = ()) -> None:
        """Answer with it, and some more fields."""
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.fields, *more]})
        await send({"type": "http.response.body", "body": self.body})


@final
class Recording:
    """A `send` that copies what passes, and lets the end of it pass when the copy was dealt with.

    So nobody has a whole response in hand of which there is no record. What streams is not held up.

    An application may end an answer in order that it broke off, as its client had left. `whole` says which it is: one
    that has the length it said or, if it said none, whose client was not seen leaving by `receive`.

    Args:
        receive: The server's; the application is to have this one's.
        send: The server's.
        max_body: Bytes of a body that are copied.
        wanted: Whether a response is to be copied, by its status and fields.
        complete: Gets the response, without a body when that is too long. What it gives back is sent in its place,
            unless a part of that is on its way already.
    """

    __slots__ = (
        *("_answer", "_body", "_complete", "_has_left", "_max_body", "_receive", "_send", "_start", "_too_long"),
        *("_wanted", "whole"),
    )

    def __init__(
        self,
        receive: Receive,
        send: Send,
        max_body: int,
        wanted: Callable[[Answer], bool],
        complete: Callable[[Answer], Awaitable[Answer]],
    ) -> None:
        self._receive, self._send = receive, send
        self._max_body, self._wanted, self._complete = max_body, wanted, complete
        self._start: _Message | None = None
        self._answer: Answer | None = None
        self._body = bytearray()
        self._too_long = self._has_left = False
        self.whole = False

    async def receive(self) -> _Message:
        """Pass on what the client sends."""
        message = await self._receive()
        self._has_left = self._has_left or message["type"] == "http.disconnect"
        return message

    async def __call__(self, message: _Message) -> None:
        """Pass on what the application sends."""
        if message["type"] == "http.response.start":
            answer = Answer(message["status"], list(message.get("headers", ())), b"")
            if self._wanted(answer):
                self._answer, self._start = answer, message  # it goes out with the first of the body
                return
        if message["type"] != "http.response.body" or self._answer is None:
            await self._send(message)
            return
        self._copy(message.get("body", b""))
        if message.get("more_body"):
            await self._pass(message)
        else:
            await self._end(self._answer, message)

    def _copy(self, data: bytes) -> None:
        if len(self._body) + len(data) > self._max_body:
            self._too_long = True
            self._body.clear()
        if not self._too_long:
            self._body += data

    async def _end(self, answer: Answer, message: _Message) -> None:
        self._answer = None
        self.whole = not self._too_long and self._has_all(answer)
        changed = await self._complete(Answer(answer.status, answer.fields, bytes(self._body)))
        if self._start is None or self._too_long:
            await self._pass(message)
        else:
            await changed.send(self._send)

    def _has_all(self, answer: Answer) -> bool:
        length = answer.value(b"content-length")
        return not self._has_left if length is None else length == b"%d" % len(self._body)

    async def _pass(self, message: _Message) -> None:
        if self._start is not None:
            await self._send(self._start)
            self._start = None
        await self._send(message)


def only_copied(scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The scope of a server that takes nothing of which there would be no copy: files by their path, trailers."""
    extensions = scope.get("extensions") or {}
    if _UNCOPIED.isdisjoint(extensions):
        return scope
    return {**scope, "extensions": {name: extensions[name] for name in extensions if name not in _UNCOPIED}}
