"""The fault laboratory: every pattern under one storm, and afterwards nothing must have gone wrong.

    python -m tests.lab --seconds 180 --seed 7 --patterns Lock,Queue --scene server

Each worker process uses all patterns. Every quarter of a second something happens that happens in bad hours. Each call
is written down by the process that makes it, before and after. When the storm is over the workers end in order; then
it is looked for what must not have been, and for what must not be left. A run that has found something says with which
seed it happens again, as far as processes on a busy machine do, and keeps the diaries.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from aioredis_patterns.client import connect
from tests.lab.back import absences
from tests.lab.crew import Crew
from tests.lab.ends import unexplained
from tests.lab.history import Call, read
from tests.lab.mischief import blow
from tests.lab.patterns import ON_REPLICAS, PATTERNS
from tests.lab.report import Report
from tests.lab.scenes import SCENES

__all__ = ("run",)

LEAST = 1.0
"""Calls a second that must succeed with each pattern, so that it counts as used."""


async def run(scene: str, names: Sequence[str], seconds: float, seed: int, places: int, folder: Path) -> Report:
    """Let it blow, let it calm down, and look at what was done and at what is left."""
    async with SCENES[scene](seed) as stage:
        async with Crew(stage.url, names, seed, folder, places) as crew:
            mischief = await blow(stage, crew, seed, seconds)
            stage.calm()
            await crew.calm_down()
        mischief["other primaries"] = len(stage.changes)
        async with connect(stage.direct_url) as redis:
            left = {name: await PATTERNS[name].left(redis) for name in names}
    calls = read(folder)
    findings = {}
    for name in names:
        own = [call for call in calls if call.pattern == name]
        judged = PATTERNS[name].findings(own) if stage.keeps or name in ON_REPLICAS else []
        findings[name] = [*_idle(own, seconds), *unexplained(own), *judged, *left[name]]
    findings["the workers"] = [f"{count} left: {what}" for what, count in crew.left.items() if count]
    findings["coming back"] = [*absences(calls, stage.changes)]
    return Report(scene, seed, seconds, calls, mischief, findings)


def _idle(calls: list[Call], seconds: float) -> list[str]:
    """Too few calls have succeeded to be proof of anything."""
    done = sum(call.outcome == "ok" for call in calls)
    return [f"only {done} calls have succeeded"] * (done < seconds * LEAST)


def default(scene: str) -> list[str]:
    """What is used where nobody says what; only behind Sentinel are there the two replicas that a lock asks for."""
    return [name for name in PATTERNS if scene in ("sentinel", "outage") or name not in ON_REPLICAS]


async def main(options: argparse.Namespace) -> int:
    folder = Path(tempfile.mkdtemp(prefix="storm-"))
    names = options.patterns.split(",") if options.patterns else default(options.scene)
    print(f"seed {options.seed}, diaries {folder}", file=sys.stderr)  # noqa: T201  # also of a run that ends by an error
    report = await run(options.scene, names, options.seconds, options.seed, options.processes, folder)
    print(report)  # noqa: T201
    if report.is_clean:
        shutil.rmtree(folder)
    return not report.is_clean


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--patterns", help="names, with commas between them; default: all")
    parser.add_argument("--scene", choices=SCENES, default="server")
    parser.add_argument("--processes", type=int, default=3)
    sys.exit(asyncio.run(main(parser.parse_args())))
