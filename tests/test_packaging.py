"""What a user installs: the wheel, built here and used from a fresh venv."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = Path(__file__).parent.parent
PACKAGE = PROJECT / "aioredis_patterns"

SCRIPT = """
import asyncio
import aioredis_patterns
from aioredis_patterns import Lock, connect, embedded_server

async def take_a_lock():
    async with embedded_server() as server, connect(server.url) as redis:
        async with Lock(redis, "packaged", lease=10) as lease:
            assert lease.fence > 0

asyncio.run(take_a_lock())
print(aioredis_patterns.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this source tree."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(PROJECT))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def fresh_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new venv that has the wheel, and the dependencies of this one without a download."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    site_packages = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    Path(site_packages, "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return python


def test_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """Every module, every Lua file and the typing marker of the source tree is in the wheel."""
    wanted = {
        path.relative_to(PROJECT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.suffix in {".py", ".lua"} or path.name == "py.typed"
    }
    assert "aioredis_patterns/py.typed" in wanted
    assert wanted <= set(names_in(wheel))


def test_wheel_holds_nothing_but_the_package(wheel: Path) -> None:
    """No test, benchmark or document takes up room in a user's site-packages."""
    tops = {name.split("/")[0] for name in names_in(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"aioredis_patterns"}


def test_wheel_needs_redis_and_anyio_only(wheel: Path) -> None:
    """Everything else that the package can use is asked for by an extra."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = BytesParser().parsebytes(archive.read(name))
    requirements = map(Requirement, metadata.get_all("Requires-Dist", []))
    assert {item.name for item in requirements if "extra" not in str(item.marker)} == {"redis", "anyio"}
    assert metadata["License-Expression"] == "MIT"


def test_wheel_works_in_a_fresh_venv(fresh_python: Path, tmp_path: Path) -> None:
    """A script that knows only the installed wheel runs."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    answer = run(str(fresh_python), "-I", "-W", "error", str(script))
    assert Path(answer.strip()).is_relative_to(fresh_python.parent.parent)


def names_in(wheel: Path) -> list[str]:
    """List the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def run(*command: str) -> str:
    """Run the command and give what it printed; a failure shows everything it said."""
    outcome = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout
    return outcome.stdout
