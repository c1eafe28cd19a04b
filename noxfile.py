"""Everything that checks the project. `nox -s tests` is the one to start with; what follows `--` goes to pytest."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests"]

PYTHONS = ("3.11", "3.12", "3.13")
MODELS = (
    "rate_limits/test_models.py",
    "leaderboards/test_model.py",
    "flags/test_models.py",
    "documents/test_models.py",
    "collections/test_models.py",
    "caches/test_entry.py",
)
LOCKS = ("Lock", "FairLock", "ReentrantLock", "ReadWriteLock", "Semaphore", "MultiLock", "Redlock")
QUEUES = ("Queue", "PriorityQueue", "ConsumerGroup")
PARALLEL = ("--numprocesses=2", "--dist=loadfile")
"""The suite mostly waits, so two processes share it; each has a server of its own."""
PROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *groups: str) -> None:
    """Install the package as an editable with every extra, and the dependency groups."""
    session.install("-e", ".[all]", *nox.project.dependency_groups(PROJECT, *groups))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the suite on this interpreter, against a server that the suite starts itself."""
    install(session, "test")
    session.run("pytest", *(session.posargs or PARALLEL))


for version in PYTHONS:
    nox.session(tests.func, name=f"tests-{version}", python=version)


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the suite with the lowest versions that the package says it works with."""
    install(session, "test")
    session.install(*map(pin_lowest, PROJECT["project"]["dependencies"]))
    session.run("pytest", *(session.posargs or PARALLEL))


def pin_lowest(dependency: str) -> str:
    """Turn `redis>=6,<9` into `redis==6`."""
    requirement = Requirement(dependency)
    bound = next(item.version for item in requirement.specifier if item.operator == ">=")
    requirement.specifier = SpecifierSet(f"=={bound}")
    return str(requirement)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the suite and report the lines and branches that no test reaches."""
    install(session, "test", "coverage")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine")
    session.run("coverage", "report")


@nox.session
def container(session: nox.Session) -> None:
    """Run the suite against Redis in a container; brings up an engine and builds the image where it must."""
    install(session, "test", "container")
    session.run("python", "-m", "tests.container", *(session.posargs or PARALLEL))


@nox.session
def redis_py(session: nox.Session) -> None:
    """Run redis-py's own asyncio tests with PipelinedRedis in the place of its client."""
    install(session, "test", "redis-py")
    session.run("python", "-m", "tests.redis_py")


@nox.session
def example(session: nox.Session) -> None:
    """Open the teahouse of `examples/service` on this machine, with a Redis of its own, until Ctrl-C."""
    install(session, "example")
    session.run("python", "-m", "examples.service")


@nox.session
def browser(session: nox.Session) -> None:
    """Drive the teahouse in Chromium: the one on the `PATH`, else one that is downloaded."""
    install(session, "test", "browser")
    if shutil.which("chromium") is None:
        session.run("playwright", "install", "--with-deps", "chromium")
    session.run("pytest", "tests/examples/browser.py", *session.posargs)


@nox.session
def storm(session: nox.Session) -> None:
    """Three minutes in which all that can fail fails, for all patterns together; `-- --seed 7` replays a run."""
    install(session, "test")
    session.run("python", "-m", "tests.lab", *(session.posargs or ("--seconds", "180")))


@nox.session
def mutants(session: nox.Session) -> None:
    """Make a small mistake in a script, and look whether a test finds it; `-- --rooms flags --sample 20` is quick."""
    install(session, "test")
    session.run("python", "-m", "tests.lab.mutants", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types."""
    install(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("pyright")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    if not Path("docs/conf.py").exists():
        session.skip("there is no documentation to build")
    install(session, "docs")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html", *session.posargs)


@nox.session
def nightly(session: nox.Session) -> None:
    """The full counts, which take some hours: models, storms, strange inputs, hostile bytes, mutants, a soak."""
    install(session, "test")
    models = [f"tests/{room}" for room in MODELS]
    session.run("pytest", *models, "--hypothesis-profile=nightly", "--timeout=3600", *PARALLEL)
    session.run("python", "-m", "tests.lab", "--seconds", "1800")
    for scene in ("cluster", "sentinel", "outage"):
        session.run("python", "-m", "tests.lab", "--scene", scene, "--seconds", "600")
    for kind in LOCKS:
        session.run("python", "-m", "tests.storm.locks", "--acquisitions", "100000", "--kind", kind)
    for kind in QUEUES:
        session.run("python", "-m", "tests.storm.queues", "--messages", "20000", "--kills", "100", "--kind", kind)
    session.run("python", "-m", "tests.lab.fuzz", "--count", "100000")
    session.run("python", "-m", "tests.lab.hostile", "--times", "60")
    session.run("python", "-m", "tests.lab.mutants")
    session.run("python", "-m", "tests.lab.soak", "--minutes", "20")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the transport; `-- --smoke` is the short form."""
    install(session, "bench")
    session.run("python", "benchmarks/bench_transport.py", *session.posargs)


@nox.session
def race(session: nox.Session) -> None:
    """Race every library that is known here, and write the page of it, in 25 minutes; `-- --smoke`, `-- --check`."""
    install(session, "race")
    session.run("python", "benchmarks/race.py", *session.posargs)
