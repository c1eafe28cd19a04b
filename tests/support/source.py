"""The source tree as data: which files there are, what they import, how many lines of code they have."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).parent.parent.parent
NAME = "aioredis_patterns"
PACKAGE = sorted((ROOT / NAME).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))
LUA = sorted((ROOT / NAME).rglob("*.lua"))

Node = TypeVar("Node", bound=ast.AST)

_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def report(what: str, found: Iterable[str]) -> None:
    """Fail with everything that was found, one a line."""
    lines = sorted(found)
    assert not lines, f"{len(lines)} {what}:\n" + "\n".join(lines)


def at(path: Path, line: int = 1) -> str:
    """`tests/conftest.py:1`, which editors and terminals open."""
    return f"{path.relative_to(ROOT)}:{line}"


def module_of(path: Path) -> str:
    """`aioredis_patterns.locks` for its `__init__.py`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path) for path in PACKAGE}


@cache
def tree(path: Path) -> ast.Module:
    """A file, parsed once."""
    return ast.parse(path.read_text())


def nodes(paths: Iterable[Path], kind: type[Node]) -> Iterator[tuple[Path, Node]]:
    """Every node of a kind, with the file it stands in."""
    return ((path, node) for path in paths for node in ast.walk(tree(path)) if isinstance(node, kind))


def functions(paths: Iterable[Path]) -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function and method, nested ones as well."""
    for path in paths:
        yield from nodes([path], ast.FunctionDef)
        yield from nodes([path], ast.AsyncFunctionDef)


def tokens(path: Path) -> Iterator[tokenize.TokenInfo]:
    """The tokens of a file, comments included."""
    return tokenize.generate_tokens(io.StringIO(path.read_text()).readline)


@cache
def code_lines(path: Path) -> frozenset[int]:
    """The numbers of the lines that hold code: no docstring, no comment, not blank."""
    lines = {
        number
        for token in tokens(path)
        if token.type not in _LAYOUT
        for number in range(token.start[0], token.end[0] + 1)
    }
    for _, node in nodes([path], ast.Expr):
        if is_text(node):
            lines -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return frozenset(lines)


def is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring, of whatever stands before it."""
    return isinstance(statement, ast.Expr) and isinstance(getattr(statement.value, "value", None), str)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of every module of ours that a file imports, wherever in the file it does."""
    for _, plain in nodes([path], ast.Import):
        yield from ((plain.lineno, alias.name) for alias in plain.names if alias.name in MODULES)
    package = path.relative_to(ROOT).parent.parts
    for _, node in nodes([path], ast.ImportFrom):
        above = package[: len(package) - node.level + 1] if node.level else ()
        base = ".".join((*above, *([node.module] if node.module else [])))
        for alias in node.names:
            target = f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base
            if target in MODULES:
                yield node.lineno, target


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    """Every module that importing one imports."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        new = graph[todo.pop()] - seen
        seen |= new
        todo += new
    return seen


def listed_in(path: Path) -> list[str]:
    """What the `__all__` of a file lists."""
    lists = [statement for statement in tree(path).body if targets(statement) == {"__all__"}]
    return list(ast.literal_eval(lists[0].value)) if lists else []  # type: ignore[attr-defined]


def names_in(path: Path) -> set[str]:
    """The public names that a file makes; those of a package are imported from its own modules."""
    names: set[str] = set()
    for statement in tree(path).body:
        if isinstance(statement, ast.ImportFrom) and path.stem == "__init__":
            ours = statement.level or (statement.module or "").startswith(NAME)
            names |= {alias.asname or alias.name for alias in statement.names if ours}
        elif not re.match(r"\w+ = (TypeVar|ParamSpec)\(", ast.unparse(statement)):
            names |= targets(statement)
    return {name for name in names if name[0] != "_"}


def described_in(path: Path) -> set[str]:
    """The constants and aliases of a file that a docstring follows."""
    return {name for one, two in pairwise(tree(path).body) if is_text(two) for name in targets(one)}


def targets(statement: ast.stmt) -> set[str]:
    """The names that a statement gives a value to."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
    return set()
