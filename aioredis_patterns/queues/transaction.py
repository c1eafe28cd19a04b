"""A transaction: what a handler writes to Redis, and the acknowledgement of its message, in one step.

Promise: the writes of one message are made once, however often it is delivered: they are made with its
acknowledgement, and only while the lease is held. Nobody sees them without it.

Limit of the promise: it holds for writes in the same Redis, and as far as the server keeps what it has answered. Redis
undoes nothing: when a command fails, those before it stay written, and the message becomes a dead letter at once,
for it must not be tried again.

Cost: one round trip, instead of that of the acknowledgement.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final, Self, final

from redis.exceptions import ResponseError

from aioredis_patterns.types import Claimed

__all__ = ("Transaction",)

_MOST_ARGUMENTS: Final = 5000
"""Of one command: Lua passes fewer than 8,000 to a function, and must not fail between two writes."""

_WORDS: Final = (str, bytes, int, float)


@final
class Transaction:
    """Collects commands, and executes them together with the acknowledgement when its block ends without an error.

    Promise, limit and cost: see the module.

    Args:
        delivery: Of the message or the entry that is being handled.

    Example:
        >>> async def main(redis):
        ...     queue = Queue(redis, "orders")
        ...     async def book(order, delivery):
        ...         async with Transaction(delivery) as transaction:
        ...             transaction.write("HINCRBY", "{orders}:stock", order["item"], -1)
        ...     async with Worker(queue, book):
        ...         await queue.put({"item": "lamp"})
    """

    __slots__ = ("_commands", "_delivery", "_keys", "_tag")

    def __init__(self, delivery: Claimed[Any]) -> None:
        self._delivery = delivery
        self._tag = _tag(delivery.key)
        self._keys: dict[str, None] = {}
        self._commands: list[str | bytes | int] = []

    def write(self, command: str, key: str, *arguments: str | bytes | float, keys: int = 1) -> None:
        """Add a command, to be executed with the acknowledgement; what it answers is not told.

        Args:
            command: Its name, such as "INCRBY".
            key: Its first key, with the hash tag of the queue: its name in braces, as in "{orders}:stock". That of a
                log is its name and its partition: "{orders|0}:stock".
            arguments: What follows.
            keys: How many keys there are, the first one included; the others come first among the arguments.

        Raises:
            ValueError: A key has another hash tag, and so may live on another server; or there are too many arguments.
            TypeError: An argument is not a str, bytes, int or float.
        """
        if len(arguments) > _MOST_ARGUMENTS:
            raise ValueError(f"a command may have {_MOST_ARGUMENTS} arguments, not {len(arguments)}")
        if odd := [word for word in arguments if type(word) not in _WORDS]:
            raise TypeError(f"arguments must be str, bytes, int or float, not {odd[0]!r:.80}")
        named = (key, *arguments)[:keys]
        for name in named:
            if not isinstance(name, str) or _tag(name) != self._tag:
                raise ValueError(f"a key must have the queue's hash tag, {{{self._tag}}}; {name!r:.80} has not")
            self._keys[name] = None
        words = [repr(word) if isinstance(word, float) else word for word in arguments]
        self._commands += [len(words) + 2, command, key, *words]

    async def commit(self) -> bool:
        """Write and acknowledge; False when the lease had moved on, and nothing was written by this delivery.

        Raises:
            redis.exceptions.ResponseError: A command failed; the message is a dead letter now.
            OutcomeUnknownError: The reply was lost, and then the lease; all was written or nothing.
        """
        answer = await self._delivery.commit(list(self._keys), self._commands)
        if isinstance(answer, bytes):
            raise ResponseError(answer.decode(errors="replace"))
        return bool(answer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            await self.commit()


def _tag(key: str) -> str:
    """What decides on the slot of a key: the text between its first braces, or all of it."""
    tag, closed, _ = key.partition("{")[2].partition("}")
    return tag if tag and closed else key
