"""The pages: their Python runs as it stands, and each room has a guide with everything that a guide has."""

from __future__ import annotations

import re
from inspect import isclass, signature
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import aioredis_patterns
from aioredis_patterns import codecs, connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.integrations import asgi
from tests.lab.round_trips import ROUND_TRIPS
from tests.support.examples import examples_in, run
from tests.support.source import LUA, ROOT, report

FILES = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in FILES}
DOCS = ROOT / "docs"

ROOMS = sorted({path.parent.parent for path in LUA if "console" not in path.parts})
GUIDES = {(room.name if room.name != "asgi" else "web"): room for room in ROOMS}
"""The guides, each with the folder of the room that it is about."""

PARTS = [
    "Which one do I want?",
    "What it promises",
    "Where the promise ends",
    "Keys and memory",
    "Cost",
    "Tuning",
    "Metrics",
    "The scripts",
]
OPENTELEMETRY = ROOT / "aioredis_patterns" / "integrations" / "opentelemetry.py"
STRUCTURES = ["String", "Hash", "List", "Set", "ZSet", "HyperLogLog", "Stream", "Bitmap"]
LIBRARIES = [
    *("redis-py: `Lock`", "aioredlock", "pottery", "limits", "slowapi", "fastapi-limiter"),
    *("cashews", "aiocache", "arq", "saq", "starsessions"),
]

PICTURES = sorted(DOCS.glob("guide/pictures/*.svg"))
INCLUDED = re.compile(r"```\{literalinclude\} (\S+)\n(?::language: lua\n|:caption: \S+\n)*```")


def guide(name: str) -> str:
    return PAGES[f"docs/guide/{name}.md"]


def sections(text: str) -> dict[str, str]:
    """What stands under each heading of the second level, and under "" what stands above them."""
    intro, *rest = re.split(r"(?m)^## ", text)
    return {"": intro} | {part.partition("\n")[0]: part.partition("\n")[2] for part in rest}


def rows(section: str) -> list[list[str]]:
    """The cells of a section's tables, without their heads."""
    lines = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines if not line[0].startswith("---")]


@pytest.mark.parametrize("page", sorted(name for name, text in PAGES.items() if examples_in(text)))
async def test_the_python_of_a_page_runs(
    page: str, own_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader who types what a page shows, from its top to its end, gets what the page says."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    await run(PAGES[page], own_server.url)


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_has_its_parts(name: str) -> None:
    """Each room has a guide that begins with an example, has a picture, and has the same parts in the same order."""
    parts = sections(guide(name))
    assert "```python" in parts[""]
    assert [head for head in parts if head in PARTS] == PARTS
    assert all(parts[head].strip() for head in PARTS)
    assert f"(pictures/{name}.svg)" in parts["Which one do I want?"]


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_has_the_scripts_of_its_room(name: str) -> None:
    """Each script of a room stands whole in its guide, or is named there as one to look up; no other one is named."""
    scripts, _, beside = sections(guide(name))["The scripts"].partition("Beside them")
    shown = {(DOCS / "guide" / path).resolve() for path in INCLUDED.findall(scripts)}
    named = {GUIDES[name] / "lua" / f"{script}.lua" for script in re.findall(r"`(\w+)`", beside)}
    there = {path for path in LUA if path.is_relative_to(GUIDES[name])}
    assert scripts.count("{literalinclude}") == len(shown), "a part of a script, or one that is shown twice"
    report("scripts that the guide neither shows nor names", (path.stem for path in there - shown - named))
    report("scripts that the room has not", (path.stem for path in (shown | named) - there))
    report("scripts that are shown and named", (path.stem for path in shown & named))


def test_a_guide_names_metrics_that_there_are() -> None:
    """Who looks for an instrument or a script that a guide names among the metrics finds it there."""
    metrics = {name: sections(guide(name))["Metrics"] for name in GUIDES}
    stems = {path.stem for path in LUA}
    rooms = "|".join(sorted({stem.partition("_")[0] for stem in stems if "_" in stem} - {"near"}))
    counted = set(re.findall(r'"(redis_patterns\.[a-z.]+)"', OPENTELEMETRY.read_text()))
    for pattern, known in ((r"`(redis_patterns\.[a-z.]+)`", counted), (rf"`((?:{rooms})_[a-z_]+)`", stems)):
        named = {(name, each) for name, text in metrics.items() for each in re.findall(pattern, text)}
        assert named
        report("unknown names", (f"{name}: {each}" for name, each in named if each not in known))


async def test_a_guide_names_the_keys_that_its_room_writes(own_server: EmbeddedServer) -> None:
    """Who finds a key of a pattern on his server finds in the guide what it is."""
    strange: set[str] = set()
    given = {"name": "shop", "subject": "ada", "member": "bob", "payload": "hello", "answer": "hello", "number": 3}
    async with connect(own_server.url) as redis:
        for pattern, probe in ROUND_TRIPS.items():
            room = getattr(aioredis_patterns, pattern).__module__.split(".")[1]
            keys_of = sections(guide(room))["Keys and memory"]
            arguments = {"redis": redis} | given
            steps = probe(*(arguments[argument] for argument in signature(probe).parameters))
            await anext(steps)
            for key in await redis.keys("arp:*"):
                part = key.decode().rpartition("}:")[2].split(":")[0]
                if not re.search(rf"[:…]{part}\b", keys_of):
                    strange.add(f"{room}: {key.decode()}, of {pattern}")
            assert not [step async for step in steps]
            await redis.flushdb()
    report("keys that no guide names", strange)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_a_picture_stands_alone(picture: Path) -> None:
    """A picture says what it shows to who cannot see it, loads nothing, runs nothing, and looks like the others."""
    tree = ET.parse(picture).getroot()  # noqa: S314  # the project's own file
    kinds = [element.tag.rpartition("}")[2] for element in tree.iter()]
    assert kinds[:4] == ["svg", "title", "desc", "style"]
    assert all(child.text and child.text.strip() for child in tree[:3])
    assert tree[2].text == ET.parse(PICTURES[0]).getroot()[2].text  # noqa: S314
    assert set(kinds[4:]) <= {"defs", "marker", "path", "rect", "circle", "text"}
    assert "href" not in (text := picture.read_text())
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= {"#head"}
    assert any(f"pictures/{picture.name})" in page for page in PAGES.values())


def test_each_structure_of_redis_has_its_class() -> None:
    """Of each of the eight structures it is said what it is good at, what it is bad at, and which class to take."""
    table = rows(sections(PAGES["docs/choose.md"])["The eight structures of Redis"])
    found = {row[0].strip("* "): row[1:] for row in table}
    assert [name for name in found if name in STRUCTURES] == STRUCTURES
    for name in STRUCTURES:
        good, bad, take = found[name]
        assert good
        assert bad
        assert set(re.findall(r"`(\w+)`", take)) & set(aioredis_patterns.__all__)


def test_the_tables_name_what_there_is() -> None:
    """Who looks up a class of the README's table or of the page to choose by finds it in the package."""
    tables = sections(PAGES["README.md"])["What there is"], sections(PAGES["docs/choose.md"])["The same as a table"]
    named = {name for table in tables for row in rows(table) for name in re.findall(r"`(\w+)`", row[1])}
    web = {"RateLimitMiddleware", "RateLimit", "SessionMiddleware", "IdempotencyMiddleware", "ResponseCacheMiddleware"}
    report("unknown names", named - web - set(aioredis_patterns.__all__))


def test_the_reference_has_every_name() -> None:
    """Who looks up a public name finds it in the reference, with what its docstring says."""
    listed = set(re.findall(r"aioredis_patterns\.(?:[a-z_]+\.)*(\w+)", PAGES["docs/reference.md"]))
    errors = {
        name for name, found in vars(aioredis_patterns).items() if isclass(found) and issubclass(found, Exception)
    }
    aliases = {"DELETED", "NOT_MODIFIED", "Loader", "ManyLoader"}  # values and shapes that their types tell of
    public = {*aioredis_patterns.__all__, *codecs.__all__, *asgi.__all__}
    report("names that the reference lacks", public - errors - aliases - listed)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_has_its_code_beside_ours(library: str) -> None:
    """Who comes from another library sees what he has, and below it what it becomes, which runs."""
    text = sections(PAGES["docs/migrating.md"])[library]
    assert text.index("```text") < text.index("```python")
