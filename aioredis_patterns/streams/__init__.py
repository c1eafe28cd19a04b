"""Streams: what happened, in its order, kept for all who want to know, now or later.

Which one do I want?

| I want | take |
|---|---|
| to write down what happens, and to read it, again and again | `EventLog` |
| to follow what happens from now on | `EventLog.tail` |
| each event handled at least once by each of several services | a `ConsumerGroup` for each of them |
| its events handled so many at a time, with pauses between tries | `Worker(group.consumer("w1"), handle)` |
| events of one customer in their order, of many side by side | `EventLog(partitions=8)`, `append(key=...)` |
| to see what a service could not handle, and to have it try again | `group.dead` |
| work that is done once and then forgotten | `queues.Queue` |
"""

from __future__ import annotations

from .consumer_group import Consumer, ConsumerGroup, GroupStats
from .dead_entries import DeadEntries, DeadEntry
from .entry import Entry
from .entry_delivery import EntryDelivery
from .event_log import EventLog

__all__ = ("Consumer", "ConsumerGroup", "DeadEntries", "DeadEntry", "Entry", "EntryDelivery", "EventLog", "GroupStats")
