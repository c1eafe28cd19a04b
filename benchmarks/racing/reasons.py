"""Why a row is lost, or falls short: one line for each, by what is measured, of which room and row."""

from __future__ import annotations

from typing import Final

REASONS: Final = {
    ("rate", "transport"): """With one task it is the way there and back, which all pay; with many what is left of a
        call is the client's own Python: a coroutine, a future and the packing of the command.""",
    ("rate", "locks"): """The server: at 500 tasks it runs at 0.94 of what its own benchmark tool reaches with the same
        two scripts.""",
    ("rate", "locks", "one lock for all"): """All wait for one lock: nobody can be faster than the millisecond that
        each holds it.""",
    ("rate", "rate limits"): """The server: it runs at 0.86 to 1.03 of what its own benchmark tool reaches with the same
        scripts, of which each call needs about 5 us, an empty script alone 1.5.""",
    ("rate", "caches"): "A hit decodes a record of 1 kB, here and in the other libraries.",
    ("rate", "caches", "one key for all"): """cashews reads a key once for all who ask for it together; here each
        of them reads it.""",
    ("rate", "queues"): "The server and its script; with one task the way there and back, which all pay.",
    ("rate", "leaderboards"): "A bare command on our client is as fast: what is left is the way there and back.",
    ("rate", "leaderboards", "top(10)"): """The reply of ten members with their scores has to be read: the bare commands
        on our client reach no more.""",
    ("rate", "leaderboards", "around(10)"): """The server, which looks for a rank and then for its neighbours, and the
        reply: the bare commands on our client reach no more.""",
    ("rate", "sessions"): """The server: its own benchmark tool with our scripts, which look for the user's epoch and
        both lifetimes, reaches about 200,000 a second, 12 times starsessions with its one GET or SET; the client gets
        to three quarters of that.""",
    ("p99_ms",): "One connection serves all tasks, and the server runs a script where others send a plain command.",
    ("p99_ms", "locks", "one lock for all"): "The tail of a lock that all ask for all the time is the wait for a turn.",
    ("cpu_us",): "The client does more for one call than it saves by sharing a connection.",
    ("sent",): "Its script needs the call.",
    ("connections",): "Beside the one for commands there is one that hears of releases, or waits for messages.",
    ("bytes", "locks"): """A released lock leaves its fence, by which a later holder is told from an earlier one;
        redis-py's has none.""",
    ("bytes", "rate limits"): "Two windows are kept in one string, with the time of the first.",
    ("bytes", "rate limits", "SlidingLog"): """This is one hit for each subject, where a List has its fixed size; every
        further hit is 12 bytes.""",
    ("bytes", "caches"): """The record repeats one text twenty times, which cashews' pickle writes once; here it
        is JSON, with a header of 68 bytes.""",
    ("bytes", "queues"): "A message has an id, and its attempts are counted.",
    ("bytes", "sessions"): """Beside its fields a session has a place in the list of its user's sessions, and its
        user an epoch, so that all can be ended at once.""",
}


def reason(figure: str, room: str, what: str) -> str:
    """The line of the row, else of its room, else of what is measured."""
    for key in ((figure, room, what), (figure, room), (figure,)):
        if key in REASONS:
            return " ".join(REASONS[key].split())
    return "Not explained yet."
