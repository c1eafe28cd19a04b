"""A teahouse: a small web service that has its data in SQLite and everything else in Redis.

`python -m examples.service` starts it on a Redis of its own. Where to look:

- `house.py`: all that it has in Redis, in one place
- `accounts.py`: login, sessions, logout everywhere, profiles in a cache that is written through
- `board.py`: a leaderboard that moves in all browsers at once
- `shop.py`: orders that may be repeated, put into a queue, and done one at a time for each tea
- `api.py`: a rate limit, and a response that is made once for everybody
- `switches.py`: a feature flag
"""
