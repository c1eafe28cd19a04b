"""The layers, the budgets and the rules of the house, checked on the source itself."""

from __future__ import annotations

import ast
import re
import tokenize
from pathlib import Path

from tests.support.source import (
    BENCHMARKS,
    LUA,
    NAME,
    PACKAGE,
    ROOT,
    TESTS,
    at,
    code_lines,
    functions,
    imports,
    module_of,
    nodes,
    reached,
    report,
    tokens,
)

FLOORS = {"errors": 0, "types": 0, "codecs": 1, "events": 1, "_core": 1, "client": 1}
FLOORS |= {"top level": 3, "__main__": 3, "console": 3, "integrations": 3}
ROOMS = 2  # whatever is not named above

EDGES = {
    ("caches", "locks"): "one load per key is a lock on that key",
    ("top level", "embedded"): "every public name can be had from the top level",
    ("embedded", "client"): "a command for a server that starts is packed as any other",
    ("embedded", "_core"): "a server is ended even when its owner is cancelled",
    ("__main__", "console"): "python -m is the command line",
    ("testing", "embedded"): "its fixtures are servers",
    ("console", "embedded"): "the tour runs on a server of its own",
    ("console", "integrations"): "the tour has a step of the web",
    ("console", "top level"): "the command line uses the library as its users do",
    ("integrations", "top level"): "an integration uses the library as its users do",
}
"""Imports that do not go down, each with its reason."""

LONG = {
    ("client/pipelined.py", "execute_command"): "the way of every command: each call in it would cost a tenth of it",
    ("caches/cache.py", "__init__"): "a line for each of its options, twice",
    ("flags/feature_flags.py", "set"): "a line for each of its options, twice",
    ("locks/lock.py", "__init__"): "a line for each of its options, twice",
    ("locks/redlock.py", "__init__"): "a line for each of its options, twice",
    ("rate_limits/fixed_window.py", "__init__"): "a line for each of its options, twice",
    ("rate_limits/gcra.py", "__init__"): "a line for each of its options, twice",
    ("rate_limits/leaky_bucket.py", "__init__"): "a line for each of its options, twice",
    ("rate_limits/limiter.py", "__init__"): "a line for each of its options, twice",
    ("rate_limits/sliding_log.py", "__init__"): "a line for each of its options, twice",
    ("rate_limits/sliding_window.py", "__init__"): "a line for each of its options, twice",
    ("rate_limits/token_bucket.py", "__init__"): "a line for each of its options, twice",
    ("sessions/store.py", "__init__"): "a line for each of its options, twice",
}
"""Functions of 26 to 40 lines, by file and name, with the reason why they are one."""

OPTIONS = {
    ("documents/record.py", "update"): "the fields of the user's own type",
    ("client/cluster_subscriber.py", "execute_command"): "redis-py's own signature",
    ("client/cluster_subscriber.py", "ssubscribe"): "redis-py's own signature",
    ("client/connect.py", "connect"): "redis-py's own options",
    ("client/pipeline.py", "immediate_execute_command"): "redis-py's own signature",
    ("client/pipelined.py", "__init__"): "redis-py's own options",
    ("client/pipelined.py", "execute_command"): "redis-py's own signature",
    ("client/pipelined.py", "from_url"): "redis-py's own options",
    ("client/pipelined_cluster.py", "__init__"): "redis-py's own options",
    ("client/pipelined_cluster.py", "execute_command"): "redis-py's own signature",
    ("client/pipelined_cluster.py", "pubsub"): "redis-py's own signature",
}
"""Functions that pass on keyword arguments without naming them, with the reason."""

DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc"}
LET_OFF = {"skip", "skipif", "xfail", "flaky", "importorskip"}
FAKES = re.compile(r"(from|import) (unittest|mock|pytest_mock|fakeredis|freezegun|time_machine)\b")

MACHINES = re.compile(r"/(?:home|root|work|workspace|Users)/\w+")
HOSTS = re.compile(r"https?://([\w.-]+)")
PUBLIC = re.compile(
    r"localhost|127\.0\.0\.1|([\w-]+\.)*(python\.org|github\.com|redis\.io|valkey\.io|readthedocs\.io|"
    r"rfc-editor\.org|ietf\.org|iana\.org|semver\.org|keepachangelog\.com|example\.(com|org|test))"
)


def test_imports_go_down_only() -> None:
    """No module depends on a floor above its own, and no room on another, but along the edges named."""
    found = []
    for path in PACKAGE:
        part = part_of(module_of(path))
        found += [f"{at(path, line)} imports {other}" for line, other in imports(path) if not may(part, part_of(other))]
    report("imports that do not go down", found)


def test_modules_import_one_another_in_no_circle() -> None:
    """Every module can be read, and imported, before those that use it."""
    graph = {module_of(path): {other for _, other in imports(path)} for path in PACKAGE}
    found = []
    for path in PACKAGE:
        back = [(line, other) for line, other in imports(path) if module_of(path) in reached(graph, other)]
        found += [f"{at(path, line)} imports {other}, which imports it" for line, other in back]
    report("imports in a circle", found)


def test_files_keep_their_budget() -> None:
    """A file of the package has 300 lines of code at most, a Lua file 60, and conftest.py 120."""
    budgets = {**dict.fromkeys(PACKAGE, 300), ROOT / "tests" / "conftest.py": 120}
    sizes = [(path, len(code_lines(path)), budget) for path, budget in budgets.items()]
    sizes += [(path, lua_lines(path), 60) for path in LUA]
    report("files too long", [f"{at(path)} has {size} of {most} lines" for path, size, most in sizes if size > most])


def test_functions_keep_their_budget() -> None:
    """No function has more than 25 lines of code, and those named for their reason no more than 40."""
    found = []
    for path, function in functions(PACKAGE):
        size = len(code_lines(path).intersection(range(function.lineno, (function.end_lineno or 0) + 1)))
        if size > (40 if (inside(path), function.name) in LONG else 25):
            found.append(f"{at(path, function.lineno)} {function.name} has {size} lines")
    report("functions too long", found)


def test_no_module_is_a_drawer() -> None:
    """What a module is for can be told from its name."""
    paths = [*PACKAGE, *TESTS, *BENCHMARKS]
    report("modules without a subject", [at(path) for path in paths if DRAWERS & {path.stem, path.parent.name}])


def test_no_function_passes_on_what_it_does_not_name() -> None:
    """Every option stands in a signature; a decorator keeps the wrapped function's by `ParamSpec`."""
    found = []
    for path, function in functions(PACKAGE):
        rest = function.args.kwarg
        if rest and (inside(path), function.name) not in OPTIONS and "P.kwargs" not in ast.unparse(rest):
            found.append(f"{at(path, function.lineno)} {function.name} takes **{rest.arg}")
    report("functions with options they do not name", found)


def test_no_class_has_a_metaclass() -> None:
    """A class is what its body says."""
    classes = nodes(PACKAGE, ast.ClassDef)
    found = [at(path, i.lineno) for path, i in classes if "metaclass" in {word.arg for word in i.keywords}]
    report("metaclasses", found)


def test_no_class_acts_when_it_is_collected() -> None:
    """Nothing depends on when, or whether, `__del__` runs."""
    report("__del__", [at(path, item.lineno) for path, item in functions(PACKAGE) if item.name == "__del__"])


def test_every_type_ignore_names_its_code() -> None:
    """An ignore hides the error it was written for, and no other."""
    found = []
    for path in [*PACKAGE, *TESTS, *BENCHMARKS]:
        comments = [token for token in tokens(path) if token.type == tokenize.COMMENT]
        found += [at(path, token.start[0]) for token in comments if re.search(r"type: ignore(?!\[\w)", token.string)]
    report("ignores without their code", found)


def test_every_test_states_one_promise() -> None:
    """Each test says in one sentence what is broken when it fails."""
    tests = [(path, item) for path, item in functions(TESTS) if item.name.startswith("test_")]
    found = [f"{at(path, item.lineno)} {item.name}" for path, item in tests if not is_sentence(ast.get_docstring(item))]
    report("tests whose docstring is not one sentence", found)


def test_no_test_is_let_off() -> None:
    """No test is skipped, expected to fail, or run again until it passes."""
    report("tests let off", [at(path, i.lineno) for path, i in nodes(TESTS, ast.Attribute) if i.attr in LET_OFF])


def test_nothing_is_faked() -> None:
    """No test replaces Redis, the clock or a part of the library by what only looks like it."""
    report("fakes", [at(path, i.lineno) for path, i in nodes(TESTS, ast.stmt) if FAKES.match(ast.unparse(i))])


def test_files_speak_of_the_project_alone() -> None:
    """No file names a directory of somebody's machine, or a host that is no public page."""
    found = []
    for path in texts():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            strangers = [host for host in HOSTS.findall(line) if not PUBLIC.fullmatch(host)]
            found += [f"{at(path, number)} {word}" for word in MACHINES.findall(line) + strangers]
    report("names of machines", found)


def part_of(module: str) -> str:
    """The room, or the module of a floor, that a module belongs to."""
    return module.removeprefix(NAME).strip(".").split(".")[0] or "top level"


def may(part: str, other: str) -> bool:
    """Whether one part of the package may import another."""
    if part == other or (part, other) in EDGES:
        return True
    if "embedded" in {part, other}:  # it stands beside the floors
        return other == "errors"
    floor, below = FLOORS.get(part, ROOMS), FLOORS.get(other, ROOMS)
    return below < floor or floor == below == 1


def inside(path: Path) -> str:
    """Where in the package a file stands."""
    return path.relative_to(ROOT / NAME).as_posix()


def lua_lines(path: Path) -> int:
    """How many lines of a Lua file are neither blank nor comment."""
    lines = map(str.strip, path.read_text().splitlines())
    return sum(1 for line in lines if line and not line.startswith("--"))


def is_sentence(text: str | None) -> bool:
    """Whether a docstring is there, and one sentence."""
    return bool(text) and text.endswith(".") and not re.search(r"\n\n|[.!?]\s+[A-Z]", text)


def texts() -> list[Path]:
    """Every file that people write."""
    folders = [ROOT / name for name in (NAME, "tests", "benchmarks", "docs", "examples", ".ci")]
    files = [*ROOT.glob("*.*"), *(path for folder in folders for path in folder.rglob("*"))]
    return [path for path in files if path.is_file() and path.suffix in {".py", ".lua", ".md", ".toml", ".sh", ""}]
