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
| several of these at once, all or nothing: per user, per tenant and for everybody | `CompositeLimit` |
| no more than four at a time, however long each takes | `ConcurrencyLimit` |
| so much per day, week or month of the calendar, or a cost that is known only later | `Quota` |

And around a limit:

| I want | take |
|---|---|
| an answer in 50 ms when Redis hangs: everything passes, nothing, or this process's share | `on_error`, `Fallback` |
| to see whom a new limit would deny, before it does | `Shadow` |
| 500,000 decisions a second for a subject that is too busy to ask the server each time | `LocalLease` |
| those who run into it again and again to be locked out | `Bans` |

`parse_limit` reads "100/minute; burst=20".

All of them answer `hit`, `peek`, `refund` and `reset` with one script call. `acquire` waits its turn in order, in a
`CompositeLimit` in that of one client's callers; a `Quota` has none. A `ConcurrencyLimit` gives slots, which are held
for a while.
"""

from __future__ import annotations

from .bans import Ban, Bans
from .composite import CompositeLimit
from .concurrency import ConcurrencyLimit, Slot
from .decision import Decision
from .fallback import Fallback
from .fixed_window import FixedWindow
from .gcra import Gcra
from .leaky_bucket import LeakyBucket
from .limiter import Limiter
from .local_lease import LocalLease
from .parse import ParsedLimit, parse_limit
from .quota import Quota
from .reservation import Reservation
from .shadow import Shadow
from .sliding_log import SlidingLog
from .sliding_window import SlidingWindow
from .token_bucket import TokenBucket

__all__ = (
    "Ban",
    "Bans",
    "CompositeLimit",
    "ConcurrencyLimit",
    "Decision",
    "Fallback",
    "FixedWindow",
    "Gcra",
    "LeakyBucket",
    "Limiter",
    "LocalLease",
    "ParsedLimit",
    "Quota",
    "Reservation",
    "Shadow",
    "SlidingLog",
    "SlidingWindow",
    "Slot",
    "TokenBucket",
    "parse_limit",
)
