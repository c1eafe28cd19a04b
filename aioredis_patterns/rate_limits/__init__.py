"""Rate limits: how much of something a user, a key or a service may do in a time.

Which one do I want?

| I want | take |
|---|---|
| a steady rate that forgives bursts: nearly every API | `TokenBucket` |
| the same for millions of subjects, in the least memory | `Gcra` |
| calls to leave at an even pace, because what is behind them wants that | `LeakyBucket` |
| "5 per hour" with one integer, where twice as many around the hour's end do no harm | `FixedWindow` |
| "1000 per minute" wherever the minute begins, very nearly | `SlidingWindow` |
| the same exactly, where not one too many may pass | `SlidingLog` |

All of them answer `hit`, `peek`, `refund` and `reset` with one script call, and `acquire` waits its turn in order.
"""

from __future__ import annotations

from .decision import Decision
from .fixed_window import FixedWindow
from .gcra import Gcra
from .leaky_bucket import LeakyBucket
from .limiter import Limiter
from .sliding_log import SlidingLog
from .sliding_window import SlidingWindow
from .token_bucket import TokenBucket

__all__ = (
    "Decision",
    "FixedWindow",
    "Gcra",
    "LeakyBucket",
    "Limiter",
    "SlidingLog",
    "SlidingWindow",
    "TokenBucket",
)
