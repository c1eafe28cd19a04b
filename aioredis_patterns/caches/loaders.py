"""Loaders: what a caller gives to get a value that is not cached, and how it is called."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar, cast

from .loaded import Loaded, NotModified, Stale

__all__ = ("Batch", "Brought", "Loader", "ManyLoader", "called")

K = TypeVar("K")
T = TypeVar("T")

Brought: TypeAlias = T | Loaded[T] | NotModified

Loader = (
    Callable[[], Awaitable[Brought[T]] | Brought[T]]
    | Callable[[Any], Awaitable[Brought[T]] | Brought[T]]
    | Callable[[Any, Stale[T] | None], Awaitable[Brought[T]] | Brought[T]]
)
"""Brings one value: a function, sync or async, that takes nothing, the key, or the key and what is to be replaced."""

ManyLoader = Callable[[list[K]], Awaitable[Mapping[K, T]] | Mapping[K, T]]
"""Brings the values of the keys it is given, as far as there are any."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


async def called(loader: Loader[T], key: Any, stale: Callable[[], Stale[T] | None]) -> Brought[T]:
    """What the loader brings; it gets the key, and what is to be replaced, as far as it has parameters for them."""
    call = cast(Callable[..., Any], loader)
    wanted = _arguments_of(call)
    return cast(T, await _answer(call, *(key, stale())[:wanted] if wanted > 1 else (key,)[:wanted]))


async def _answer(call: Callable[..., Any], *args: Any) -> Any:
    try:
        result = call(*args)
        return await result if inspect.isawaitable(result) else result
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Those who wait were not cancelled, and must not look as if they were.
        raise RuntimeError("the loader was cancelled by something inside it") from error


def _arguments_of(loader: Callable[..., Any]) -> int:
    """How many positional arguments must be given."""
    try:
        parameters = inspect.signature(loader).parameters.values()
    except ValueError:  # some built-in functions tell nothing
        return 1
    return sum(each.kind in _POSITIONAL and each.default is inspect.Parameter.empty for each in parameters)


class Batch(Generic[K, T]):
    """One call of a loader for many keys, made once it is decided which of them are loaded here.

    Args:
        loader: Brings the values.
        keys: Those that may have to be loaded, in the order in which the loader is to get them.
    """

    def __init__(self, loader: ManyLoader[K, T], keys: Sequence[K]) -> None:
        self._loader = loader
        self._keys = keys
        self._ours: set[K] = set()
        self._undecided = set(keys)
        self._all_decided = asyncio.Event()
        self._waiters = 0
        self._task = asyncio.create_task(self._load(), name="load of many keys")

    def decide(self, key: K, _landed: object = None) -> None:
        """This key is loaded elsewhere, or not at all; after `value` it means nothing."""
        self._undecided.discard(key)
        if not self._undecided:
            self._all_decided.set()

    async def value(self, key: K) -> T | None:
        """What the loader brings for a key that is loaded here; None when it leaves it out."""
        if key not in self._undecided:  # another was to load it and failed, when the call for the rest was made
            return (await self._called([key])).get(key)
        self._ours.add(key)
        self.decide(key)
        self._waiters += 1
        try:
            return (await asyncio.shield(self._task)).get(key)
        finally:
            self._waiters -= 1
            if not self._waiters:
                self._task.cancel()

    async def _load(self) -> Mapping[K, T]:
        await self._all_decided.wait()
        keys = [key for key in self._keys if key in self._ours]
        return await self._called(keys) if keys else {}

    async def _called(self, keys: list[K]) -> Mapping[K, T]:
        values = await _answer(self._loader, keys)
        if not isinstance(values, Mapping):
            raise TypeError(f"a loader of many keys must bring a mapping, not {type(values).__qualname__}")
        return values
