"""The storm on queues, in little; and that its report finds what must not be."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from aioredis_patterns.embedded import embedded_server
from aioredis_patterns.queues import QueueStats
from tests.storm.queue_workers import CONCURRENCY, KINDS
from tests.storm.queues import KEEPING, Report, Storm


@pytest.mark.parametrize("kind", KINDS)
async def test_a_small_storm_loses_nothing(tmp_path: Path, kind: str) -> None:
    """While workers and the server are killed and replies are lost, every message is handled and none is left."""
    async with embedded_server(args=KEEPING) as server:
        report = await Storm(kind, messages=400, kills=4, crashes=1, folder=tmp_path).run(server)
    assert not any(report.findings.values()), report
    assert report.mischief["workers killed"] == 4
    assert report.mischief["lost replies"] > 0


def test_what_is_lost_left_or_handled_too_often_is_a_finding() -> None:
    """A message that was never handled, one that is left, a dead one and one duplicate too many make a bad report."""
    report = Report("Queue", produced=5, handled=Counter({0: 1, 1: 1, 2: 2 + CONCURRENCY}))
    report.mischief["workers killed"] = 1
    report.left = QueueStats(1, 1, 1, 4, None)
    report.codes.update([0, 0, 1])
    assert list(report.findings.values()) == [2, 3, 4, 1, 1]
