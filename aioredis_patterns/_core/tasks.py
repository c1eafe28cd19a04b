"""Tasks that must outlive their caller: work that is finished despite a cancellation, and work in the background.

asyncio keeps only weak references to tasks and says nothing of an exception that nobody fetched. The two tools here
keep the tasks they start alive, and lose no exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, final

from anyio import CancelScope

__all__ = ("BackgroundTasks", "background", "is_interruption", "shielded", "stop")

T = TypeVar("T")


async def shielded(awaitable: Awaitable[T], timeout: float) -> T:
    """Run something to its end even when the caller is cancelled, and hand the cancellation on afterwards.

    For what must not be left half done: a release, an undo. It runs in a task of its own. A caller cancelled once or
    many times, by `Task.cancel`, `asyncio.timeout` or an anyio scope, waits until that task ends; then its last
    `CancelledError` goes on, with a failure of the task as its cause. Exceptions of the caller's own are not touched.

    The wait is bounded by the timeout, as long as the awaitable ends when it is cancelled. The result is lost when
    the caller was cancelled, so nothing that has to be given back may be acquired in here.

    Args:
        awaitable: A coroutine, which begins even if the caller is cancelled already.
        timeout: Seconds until the awaitable is cancelled.

    Raises:
        TimeoutError: It was not done within the timeout.
        asyncio.CancelledError: The caller was cancelled meanwhile.
    """
    task = asyncio.ensure_future(_bounded(awaitable, timeout))
    cancelled: asyncio.CancelledError | None = None
    # Without a shield, an anyio scope repeats its cancellation on every turn of the event loop.
    with CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is None:
        return task.result()
    raise cancelled from (None if task.cancelled() else task.exception())


async def _bounded(awaitable: Awaitable[T], timeout: float) -> T:
    async with asyncio.timeout(timeout):
        return await awaitable


def is_interruption(error: BaseException) -> bool:
    """Whether what ended a block came from outside: its task is cancelled, its generator closed, or a person wants it.

    A `CancelledError` alone does not say so: who awaits a task that another has cancelled gets one too.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return isinstance(error, (GeneratorExit, KeyboardInterrupt))


async def stop(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and wait for its end."""
    task.cancel()
    await asyncio.wait([task])


@final
class BackgroundTasks:
    """The tasks of one owner, which waits for them or cancels them when it closes.

    A task is held until it ends, runs in an empty context (it belongs to no request), and an exception that ends it
    goes to the event loop's exception handler. All of it belongs to the event loop that starts the tasks. A task begins
    in the next turn, whatever the loop's factory: its owner has something to note first.
    """

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, coroutine: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
        """Run the coroutine as a task; the answer may be awaited or forgotten."""
        task = asyncio.Task(coroutine, loop=asyncio.get_running_loop(), name=name, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until every task has ended, those started meanwhile included; False when the timeout came first."""
        try:
            async with asyncio.timeout(timeout):
                while others := self._others():
                    await asyncio.wait(others)
        except TimeoutError:
            return False
        return True

    async def cancel(self, timeout: float | None = None) -> bool:
        """Cancel every task and wait until it ended; False when the timeout came first."""
        for task in self._others():
            task.cancel()
        return await self.wait(timeout)

    def _others(self) -> set[asyncio.Task[Any]]:
        # A task of ours may close its owner; it must not wait for itself.
        return self._tasks - {asyncio.current_task()}

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": f"background task {task.get_name()!r} failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)


_ownerless = BackgroundTasks()


def background(coroutine: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
    """Run the coroutine as a background task that nobody closes; it ends by itself or with the event loop."""
    return _ownerless.start(coroutine, name)
