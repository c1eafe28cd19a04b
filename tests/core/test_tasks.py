"""What is shielded ends, what is in the background is neither lost nor silent, and no task is left over."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from aioredis_patterns._core.tasks import BackgroundTasks, background, shielded

request_id = ContextVar("request_id", default="none")


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    """Every test ends with the tasks that it began with."""
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()


class Work:
    """A coroutine function of several steps that records how far it came."""

    def __init__(self, steps: int = 5, error: Exception | None = None) -> None:
        self.steps, self.error, self.done, self.cancelled = steps, error, 0, False

    async def __call__(self) -> str:
        try:
            for _ in range(self.steps):
                await asyncio.sleep(0)
                self.done += 1
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.error is not None:
            raise self.error
        return "result"


async def turns(number: int) -> None:
    """Let the event loop turn so many times."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_a_result_comes_through() -> None:
    """Without a cancellation, shielded is a plain await of a coroutine or any other awaitable."""
    assert await shielded(Work()(), 5) == "result"
    future = asyncio.get_running_loop().create_future()
    future.set_result(7)
    assert await shielded(future, 5) == 7


async def test_an_error_comes_through() -> None:
    """Without a cancellation, the coroutine's own exception is the caller's."""
    with pytest.raises(ValueError, match="mine"):
        await shielded(Work(error=ValueError("mine"))(), 5)


@pytest.mark.parametrize("after", range(1, 10))
@pytest.mark.parametrize("times", [1, 2, 5])
async def test_a_cancelled_caller_waits_until_the_work_is_done(after: int, times: int) -> None:
    """Cancelled at any await point, once or more, the caller ends cancelled and the work has run to its end."""
    work = Work()
    caller = asyncio.create_task(shielded(work(), 5))
    await turns(after)
    asked = False
    for _ in range(times):
        asked |= caller.cancel()
        await asyncio.sleep(0)
    await asyncio.wait((caller,))
    assert work.done == 5
    assert not work.cancelled
    assert caller.cancelled() or not asked


async def test_work_begins_although_the_caller_is_cancelled_already() -> None:
    """A cancellation that waits for the next await does not keep an undo from running."""
    work = Work()

    async def caller() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await shielded(work(), 5)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(caller())
    assert work.done == 5


async def test_asyncio_timeout_still_times_out() -> None:
    """The cancellation of `asyncio.timeout` arrives late, and still becomes its TimeoutError."""
    work = Work(steps=50)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await shielded(work(), 5)
    assert work.done == 50
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("cancel_after", range(5))
async def test_an_anyio_scope_is_still_cancelled(cancel_after: int) -> None:
    """A cancelled anyio scope takes effect at the caller's next await at the latest, and the work is done."""
    work = Work(steps=20)
    with anyio.CancelScope() as scope:
        _after_turns(cancel_after, scope.cancel)
        await shielded(work(), 5)
        await asyncio.sleep(0)
        raise AssertionError("the scope was not cancelled")
    assert work.done == 20
    assert scope.cancelled_caught


async def test_a_cancelled_anyio_scope_does_not_spin() -> None:
    """While the work runs, a cancelled anyio scope does not wake its waiting caller again and again."""
    caller = asyncio.current_task()
    assert caller is not None
    wakes: list[int] = []

    async def work() -> None:
        await turns(20)
        wakes.append(caller.cancelling())

    with anyio.CancelScope() as scope:
        scope.cancel()
        await shielded(work(), 5)
    assert len(wakes) == 1
    assert wakes[0] <= 1


async def test_a_task_cancel_inside_an_anyio_scope_is_not_swallowed() -> None:
    """Cancelled by a scope and by `Task.cancel` at once, the task ends cancelled."""
    work = Work(steps=20)

    async def caller() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await shielded(work(), 5)
        await asyncio.sleep(0)

    task = asyncio.create_task(caller())
    await turns(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.done == 20


async def test_the_callers_own_exception_is_not_masked() -> None:
    """In a finally block, the body's exception comes out, not one of the clean-up's."""
    work = Work()

    async def body() -> None:
        try:
            raise KeyError("body")
        finally:
            await shielded(work(), 5)

    with pytest.raises(KeyError, match="body"):
        await body()
    assert work.done == 5


async def test_a_failure_under_cancellation_is_the_cause() -> None:
    """A caller cancelled while the work fails ends cancelled, and the failure is not lost."""
    caller = asyncio.create_task(_cause_of(Work(error=ValueError("mine"))))
    await turns(2)
    caller.cancel()
    assert isinstance(await caller, ValueError)


async def _cause_of(work: Callable[[], Awaitable[Any]]) -> BaseException | None:
    try:
        await shielded(work(), 5)
    except asyncio.CancelledError as error:
        return error.__cause__
    raise AssertionError("the caller was not cancelled")


async def test_work_that_never_ends_is_cancelled_at_the_timeout() -> None:
    """Shielding is bounded: after the timeout the work is cancelled and the caller gets a TimeoutError."""
    hang = asyncio.Event()
    with pytest.raises(TimeoutError):
        await shielded(hang.wait(), 0.01)


async def test_a_cancelled_caller_waits_no_longer_than_the_timeout() -> None:
    """A cancelled caller of work that never ends comes back cancelled after the timeout."""
    caller = asyncio.create_task(shielded(asyncio.Event().wait(), 0.05))
    await turns(2)
    caller.cancel()
    async with asyncio.timeout(2):
        with pytest.raises(asyncio.CancelledError) as caught:
            await caller
    assert isinstance(caught.value.__cause__, TimeoutError)


async def test_the_end_of_the_loop_ends_shielded_work() -> None:
    """Cancelling every task, as the end of `asyncio.run` does, ends caller and work together."""
    work = Work(steps=10**9)
    before = asyncio.all_tasks()
    caller = asyncio.create_task(shielded(work(), 60))
    await turns(3)
    for task in asyncio.all_tasks() - before:
        task.cancel()
    await asyncio.wait((caller,))
    assert work.cancelled
    assert caller.cancelled()


@pytest.fixture
async def reports() -> AsyncIterator[list[dict[str, Any]]]:
    """What the event loop's exception handler is told."""
    found: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(context))
    yield found
    loop.set_exception_handler(None)


async def test_background_tasks_are_held_until_they_end() -> None:
    """A task that nobody else holds survives the garbage collector, and is let go when it ends."""
    tasks = BackgroundTasks()
    gates: list[weakref.ref[asyncio.Future[None]]] = []

    async def work() -> None:
        gate = asyncio.get_running_loop().create_future()
        gates.append(weakref.ref(gate))
        await gate

    tasks.start(work())
    await turns(2)
    gc.collect()
    gate = gates[0]()
    assert gate is not None
    assert len(tasks) == 1
    gate.set_result(None)
    assert await tasks.wait()
    assert len(tasks) == 0


async def test_background_failures_reach_the_exception_handler(reports: list[dict[str, Any]]) -> None:
    """An exception that ends a background task is reported once, with the task's name, and not as never retrieved."""
    tasks = BackgroundTasks()
    tasks.start(Work(error=ValueError("mine"))(), name="refresh")
    assert await tasks.wait()
    gc.collect()
    assert [str(report["exception"]) for report in reports] == ["mine"]
    assert reports[0]["message"] == "background task 'refresh' failed"


async def test_background_results_can_be_awaited() -> None:
    """The task that is handed back gives its result, with or without an owner."""
    assert await BackgroundTasks().start(Work()()) == "result"
    assert await background(Work()(), name="alone") == "result"


async def test_background_tasks_run_in_an_empty_context() -> None:
    """A background task sees none of the context variables of the request that started it."""
    request_id.set("mine")

    async def read() -> str:
        return request_id.get()

    assert await background(read()) == "none"


async def test_waiting_includes_tasks_started_meanwhile() -> None:
    """`wait` ends when nothing is left, also when a task starts another."""
    tasks = BackgroundTasks()
    second = Work()

    async def first() -> None:
        await turns(3)
        tasks.start(second())

    tasks.start(first())
    assert await tasks.wait()
    assert second.done == 5


async def test_waiting_gives_up_at_the_timeout() -> None:
    """`wait` answers False at its timeout and leaves the tasks running."""
    tasks = BackgroundTasks()
    task = tasks.start(asyncio.Event().wait())
    assert not await tasks.wait(0.01)
    assert not task.done()
    assert await tasks.cancel()


async def test_cancel_ends_all_tasks_without_a_report(reports: list[dict[str, Any]]) -> None:
    """`cancel` ends every task, waits for it, and cancellation is not reported as a failure."""
    tasks = BackgroundTasks()
    works = [Work(steps=10**9) for _ in range(3)]
    for work in works:
        tasks.start(work())
    await turns(3)
    assert await tasks.cancel(5)
    assert [work.cancelled for work in works] == [True, True, True]
    assert len(tasks) == 0
    assert reports == []


async def test_a_task_may_close_its_owner() -> None:
    """A background task that cancels all others neither cancels itself nor waits for itself."""
    tasks = BackgroundTasks()
    other = Work(steps=10**9)
    tasks.start(other())

    async def close() -> bool:
        await turns(2)
        return await tasks.cancel(5)

    assert await tasks.start(close())
    assert other.cancelled


def _after_turns(number: int, call: Callable[[], None]) -> None:
    if number == 0:
        call()
    else:
        asyncio.get_running_loop().call_soon(_after_turns, number - 1, call)
