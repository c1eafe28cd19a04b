"""The fault laboratory: every pattern under one storm, and afterwards nothing must have gone wrong.

    python -m tests.lab --seconds 180 --seed 7 --patterns Lock,Queue --scene server

Each worker process uses all patterns. Every quarter of a second something happens that happens in bad hours. Each call
is written down by the process that makes it, before and after. When the storm is over the workers end in order; then
it is looked for what must not have been, and for what must not be left. A run that has found something says with which
seed it happens again, as far as processes on a busy machine do.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from aioredis_patterns.client import connect
from tests.lab.crew import Crew
from tests.lab.history import Call, read
from tests.lab.mischief import blow
from tests.lab.patterns import PATTERNS
from tests.lab.report import Report
from tests.lab.scenes import SCENES

__all__ = ("run",)


async def run(scene: str, names: Sequence[str], seconds: float, seed: int, places: int, folder: Path) -> Report:
    """Let it blow, let it calm down, and look at what was done and at what is left."""
    async with SCENES[scene](seed) as stage:
        async with Crew(stage.url, names, seed, folder, places) as crew:
            mischief = await blow(stage, crew, seed, seconds)
            stage.calm()
            await crew.calm_down()
        async with connect(stage.direct_url) as redis:
            left = {name: await PATTERNS[name].left(redis) for name in names}
    calls = read(folder)
    findings = {name: _found(name, [call for call in calls if call.pattern == name]) + left[name] for name in names}
    findings["the workers"] = [f"{count} left: {what}" for what, count in crew.left.items() if count]
    return Report(scene, seed, seconds, calls, mischief, findings)


def _found(name: str, calls: list[Call]) -> list[str]:
    """What must not be among the calls of a pattern; nothing but failures is no proof of anything."""
    idle = not any(call.outcome == "ok" for call in calls)
    return ["no call has succeeded"] * idle + PATTERNS[name].findings(calls)


async def main(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        names = options.patterns.split(",")
        print(f"seed {options.seed}", file=sys.stderr)  # noqa: T201  # also of a run that ends by an error
        report = await run(options.scene, names, options.seconds, options.seed, options.processes, Path(folder))
    print(report)  # noqa: T201
    return not report.is_clean


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--patterns", default=",".join(PATTERNS), help="names, with commas between them; default: all")
    parser.add_argument("--scene", choices=SCENES, default="server")
    parser.add_argument("--processes", type=int, default=3)
    sys.exit(asyncio.run(main(parser.parse_args())))
