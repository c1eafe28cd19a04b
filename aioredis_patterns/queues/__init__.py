"""Queues: work for whoever has time, and nothing lost with the process that takes it.

Which one do I want?

| I want | take |
|---|---|
| messages handled in the order in which they came | `Queue` |
| the most important handled first | `PriorityQueue` |
| to run a handler on them, so many at a time, with retries | `Worker` on either |
| the handler's writes to Redis to count once, whatever happens | `Transaction` in the handler |
| the newest first, and an item lost with its process does not matter | `Stack` |
| the same, at both ends | `Deque` |
| to see what could not be handled, and to try it again | `queue.dead` |
"""

from __future__ import annotations

from .dead_letters import DeadLetter, DeadLetters
from .delivery import Delivery
from .deque import Deque
from .message_queue import QueueStats
from .priority_queue import PriorityQueue
from .queue import Queue
from .stack import Stack
from .transaction import Transaction
from .worker import Worker

__all__ = (
    "DeadLetter",
    "DeadLetters",
    "Delivery",
    "Deque",
    "PriorityQueue",
    "Queue",
    "QueueStats",
    "Stack",
    "Transaction",
    "Worker",
)
