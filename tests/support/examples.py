"""Runs the examples of docstrings and pages on a real server, as a reader would type them.

An example is what follows `>>>`, or a fenced block of Python, of which only the exceptions count. It may await at its
top level. It knows the names of its module, the names of the package's top level, and `redis`, a client of the server;
where it says `redis://localhost:6379`, it gets that server too. Where it defines `main(redis)` or `main(url)`, that is
called at the end.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import textwrap
import traceback
from contextlib import redirect_stdout
from doctest import ELLIPSIS, DocTestParser, Example, OutputChecker
from types import ModuleType
from typing import Any

import aioredis_patterns
from aioredis_patterns import connect

FENCED = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
ADDRESS = re.compile(r"redis://localhost:6379(?:/0)?\b")
SETTING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def examples_in(text: str) -> list[Example]:
    """The examples of a docstring or a page, in their order; one that may print anything wants None."""
    found = DocTestParser().get_examples(FENCED.sub(lambda fence: "\n" * fence[0].count("\n"), text))
    for fence in FENCED.finditer(text):
        code, line = textwrap.dedent(fence[2]), text.count("\n", 0, fence.start()) + 1
        for example in DocTestParser().get_examples(code) if code.startswith(">>>") else [whole(code)]:
            example.lineno += line
            found.append(example)
    return sorted(found, key=lambda example: example.lineno)


def whole(code: str) -> Example:
    """A block without prompts, as one example."""
    example = Example(code, "")
    example.want = None
    return example


def shows_something(examples: list[Example]) -> bool:
    """Whether the examples do more than define what is never called."""
    parts = [part for example in examples for part in ast.parse(example.source).body]
    return any(not isinstance(part, SETTING) or getattr(part, "name", "") == "main" for part in parts)


async def run(text: str, url: str, module: ModuleType = aioredis_patterns) -> None:
    """Run the examples of one text, one after the other, with the same names.

    Raises:
        AssertionError: One of them said something else than it shows.
    """
    names: dict[str, Any] = {name: getattr(aioredis_patterns, name) for name in aioredis_patterns.__all__}
    async with connect(url) as redis:
        names |= {**vars(module), "redis": redis}
        for example in examples_in(text):
            await check(example, names, url)
        if "main" in names:
            given = {"redis": redis, "url": url}
            await names["main"](*(given[name] for name in inspect.signature(names["main"]).parameters))


async def check(example: Example, names: dict[str, Any], url: str) -> None:
    """Run one example and compare what it says with what it shows."""
    mode = "exec" if example.want is None else "single"
    source = ADDRESS.sub(url, example.source)
    code = compile(source, f"line {example.lineno + 1}", mode, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    said, raised = io.StringIO(), None
    try:
        with redirect_stdout(said):
            answer = eval(code, names)  # noqa: S307  # the project's own text
            if inspect.iscoroutine(answer):
                await answer
    except Exception as error:
        if example.exc_msg is None:
            raise AssertionError(f"line {example.lineno + 1} failed:\n{example.source}") from error
        raised = traceback.format_exception_only(error)[-1]
    want, got = (example.want, said.getvalue()) if example.exc_msg is None else (example.exc_msg, raised)
    same = want is None or OutputChecker().check_output(want, got or "", ELLIPSIS)
    assert same, f"line {example.lineno + 1}:\n{example.source}shows: {want}says: {got}"
