"""The public names: there, listed, documented, and shown by an example that runs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

import aioredis_patterns
from aioredis_patterns.embedded import EmbeddedServer
from tests.support.examples import examples_in, run, shows_something
from tests.support.source import MODULES, NAME, PACKAGE, at, described_in, listed_in, names_in, report

COMMANDS = {"__main__", "console"}  # what is run, not imported
APART = {"codecs", "events", "testing", "types"}  # imported from their own module: `codecs.Raw` says more than `Raw`


def is_code(value: Any) -> bool:
    """Whether it is a class or a function, not a constant or an alias."""
    return inspect.isclass(value) or inspect.isroutine(value)


def members_of(value: Any) -> list[tuple[str, Any]]:
    """The public methods and properties that a class has of its own, and what calling it does."""
    mine = vars(value) if inspect.isclass(value) else {}
    members = [(key, getattr(value, key)) for key in mine if key[0] != "_" or key == "__call__"]
    return [(key, member) for key, member in members if inspect.isroutine(member) or isinstance(member, property)]


def is_exception(value: Any) -> bool:
    """Whether it is one of the exceptions."""
    return inspect.isclass(value) and issubclass(value, Exception)


def is_exempt(value: Any) -> bool:
    """Whether it is nothing that users make or call: an exception, a Protocol, a fixture."""
    is_fixture = isinstance(value, type(pytest.fixture(lambda: None)))
    return is_exception(value) or is_fixture or getattr(value, "_is_protocol", False)


def public_modules() -> dict[str, ModuleType]:
    """Every room and every public module beside the rooms, by the name after `aioredis_patterns`."""
    names = sorted(name.removeprefix(f"{NAME}.") for name in MODULES if name.count(".") == 1)
    return {name: import_module(f"{NAME}.{name}") for name in names if name[0] != "_" and name not in COMMANDS}


PUBLIC = public_modules()
NAMES = {f"{module}.{name}": getattr(PUBLIC[module], name) for module in PUBLIC for name in PUBLIC[module].__all__}


def test_all_lists_what_a_module_has() -> None:
    """`__all__` is there, sorted, and names everything whose name does not begin with an underscore."""
    found = []
    for path in PACKAGE:
        listed, there = listed_in(path), names_in(path)
        found += [f"{at(path)} does not list {name}" for name in sorted(there - set(listed))]
        found += [f"{at(path)} lists {name}, which is not there" for name in sorted(set(listed) - there)]
        found += [f"{at(path)} is not sorted"] if listed != sorted(listed) else []
    report("names missing in __all__", found)


def test_the_top_level_has_every_name() -> None:
    """What a user needs comes from `aioredis_patterns`; codecs, events and types have a module of their own."""
    wanted = {name.split(".")[1]: value for name, value in NAMES.items() if name.split(".")[0] not in APART}
    assert {name: getattr(aioredis_patterns, name) for name in aioredis_patterns.__all__} == wanted


def test_the_top_level_is_a_map() -> None:
    """The docstring of the package names every module, and its table no name that is not there."""
    text = aioredis_patterns.__doc__ or ""
    table = "".join(line for line in text.splitlines() if line.startswith("|"))
    report("names that are not there", set(re.findall(r"`(\w+)`", table)) - {*aioredis_patterns.__all__, *PUBLIC})
    report("modules that are not on the map", PUBLIC.keys() - set(re.findall(r"`(\w+)`", text)))


def test_every_public_name_is_documented() -> None:
    """Every public name, and every public method and property of a public class, says what it is."""
    described = {name for path in PACKAGE for name in described_in(path)}
    found = []
    for name, value in NAMES.items():
        told = value.__doc__ if is_code(value) else name.split(".")[1] in described
        found += [] if told else [name]
        found += [f"{name}.{key}" for key, member in members_of(value) if not inspect.getdoc(member)]
    report("public names without a docstring", found)


def test_every_exception_says_when_it_is_raised() -> None:
    """The docstring of an exception begins with what has happened."""
    errors = {name: value.__doc__ for name, value in NAMES.items() if is_exception(value)}
    report("exceptions", [name for name, text in errors.items() if not re.match("Raised when |Base of ", text or "")])


def test_every_public_name_has_an_example() -> None:
    """Every public class and function shows how it is used, in an example that runs it."""
    wanted = {name for name, value in NAMES.items() if is_code(value) and not is_exempt(value)}
    shown = {name: examples_in(text) for name, _, text in documented()}
    idle = {name for name, examples in shown.items() if not shows_something(examples)}
    report("public names without an example that runs", {name for name in idle if name in wanted or shown[name]})


def documented() -> Iterator[tuple[str, str, str]]:
    """Name, module and text of every docstring that users read."""
    for name, module in PUBLIC.items():
        yield name, module.__name__, module.__doc__ or ""
    for name, value in NAMES.items():
        if is_code(value):
            yield name, value.__module__, inspect.getdoc(value) or ""
        for key, member in members_of(value):
            yield f"{name}.{key}", value.__module__, inspect.getdoc(member) or ""


@pytest.mark.parametrize(
    ("module", "text"),
    [pytest.param(module, text, id=name) for name, module, text in documented() if examples_in(text)],
)
async def test_examples_run(
    module: str, text: str, own_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader who types the examples of a docstring gets what they show."""
    monkeypatch.delenv("REDIS_URL", raising=False)  # a reader has not set it: an example may stop the server it starts
    await run(text, own_server.url, import_module(module))
