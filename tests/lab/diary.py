"""What a worker process writes down of its calls: before each is sent, and when it has ended."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Literal, final

from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns.errors import OutcomeUnknownError, PatternError

__all__ = ("Diary", "Noted", "Outcome")

Outcome = Literal["ok", "fail", "unknown"]
"""Of a call: done; certainly not done; done or not."""

_UNKNOWN = (OutcomeUnknownError, RedisTimeoutError, TimeoutError, asyncio.CancelledError)
_EXPECTED = (PatternError, RedisError, OSError)  # OSError is TimeoutError's base too


@final
class Diary:
    """The diary of one process. A line is one write, so that a process that is killed leaves whole lines.

    Calls are made inside of `call`, which tells how they ended and lets no failure of Redis through:

        with diary.call("Queue", "put", payload) as call:
            call.result = await queue.put(payload)
        if call.outcome == "ok": ...

    Args:
        path: Of its file, whose name is the worker's.
    """

    def __init__(self, path: str) -> None:
        self.worker = Path(path).name
        #: That of all diaries of a run; whatever else processes share has a folder in it.
        self.folder = Path(path).parent
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._number = 0

    def call(self, pattern: str, operation: str, *arguments: Any) -> Noted:
        """A call that begins where the block does, and ends with it; arguments and result are what JSON can carry."""
        self._number += 1
        return Noted(self, self._number, [pattern, operation, arguments])

    def write(self, *values: object) -> None:
        """Write one line."""
        os.write(self._file, json.dumps(values).encode() + b"\n")


@final
class Noted:
    """One call that is written down."""

    __slots__ = ("_diary", "_what", "number", "outcome", "result")

    def __init__(self, diary: Diary, number: int, what: list[Any]) -> None:
        self._diary, self._what = diary, what
        #: Of the call in its diary, by which another call may name it.
        self.number = number
        #: What it came to; the name of the error where it failed, or what the server says of it.
        self.result: Any = None
        self.outcome: Outcome = "unknown"

    def __enter__(self) -> Noted:
        self._diary.write(self.number, "invoke", monotonic(), *self._what)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is None:
            self.outcome = "ok"
        else:
            self.outcome = "unknown" if isinstance(error, _UNKNOWN) else "fail"
            self.result = str(error) if type(error) is ResponseError else type(error).__name__
        self._diary.write(self.number, self.outcome, monotonic(), self.result)
        return isinstance(error, _EXPECTED)
