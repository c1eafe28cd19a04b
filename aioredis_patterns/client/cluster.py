"""What the library keeps open for a cluster on one event loop: the lanes of each node, and who owns which slot.

The inner `redis.asyncio.RedisCluster` says where to start, how to connect and how to map addresses. Its own commands
are never used, since they are sent again behind the caller's back; nor is its refresh of the topology, which drops
the user's connections, visits dead nodes one after another and knows no deadline. One CLUSTER SLOTS on a connection
of its own, asked of three nodes at a time, does it here, in the background and by one task at most.

Until the first answer every slot is thought to be the start node's: a command that goes to the wrong node is not
executed there but answered with the address of the right one, which is learnt at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any, Final, cast

from redis.asyncio import RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    TryAgainError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns._core.keys import slot
from aioredis_patterns._core.tasks import stop
from aioredis_patterns.types import EventHook

from .cluster_blocking import Address, ClusterReads
from .cluster_tracking import ClusterTracking
from .dialing import Dialer, plain
from .lane import Greeting, Lane
from .link import DEADLINE, Link, Request, verdict
from .node import MOMENT, Node, NodeLane
from .packing import pack_command
from .tracking import Invalidated, Tracking
from .wire import Unanswered

__all__ = ("ClusterLink", "connection_options", "slot_of")

_SLOT_COUNT: Final = 16_384

_ASKED_AT_ONCE: Final = 3
"""Nodes that are asked for the topology at the same time; the first answer is taken."""

_PATIENCE: Final = 2.0
"""Seconds that a node may take to answer it, at most."""

_PAUSE: Final = 0.1
"""Seconds between two refreshes of the topology."""

_ASKING: Final = pack_command(("ASKING",))
_CLUSTER_SLOTS: Final = pack_command(("CLUSTER", "SLOTS"))
_NOT_FOR_SHARING: Final = frozenset(
    (
        *("connection_class", "max_connections", "response_callbacks"),  # not a connection's
        *("maint_notifications_config", "oss_cluster_maint_notifications_handler"),
        "redis_connect_func",  # READONLY, after which a demoted primary would serve old data
    )
)

_Shard = tuple[int, int, list[Address]]
"""First slot, last slot, and the primary followed by its replicas."""


class ClusterLink(Link):
    """The lanes of one cluster on one event loop.

    Promise: a command that was not executed, because its slot has moved, its node is gone, or the cluster is being
    repaired, is sent to the node that has the slot until its deadline. One whose reply was lost is repeated only if
    it may be.

    Limit of the promise: between concurrent commands no order holds while their slot moves.

    Cost: one connection for each node that is used, and one more for the leases on it.

    Args:
        cluster: The client whose options and start nodes are used.
        deadline: Seconds that a call may take when it names none itself.
        lanes: How many connections share the commands of one node.
        on_event: Told of every script that was called, and of lanes that were lost and opened again.
    """

    def __init__(
        self, cluster: RedisCluster, *, deadline: float = DEADLINE, lanes: int = 1, on_event: EventHook | None = None
    ) -> None:
        encoding, errors = cluster.encoder.encoding, cluster.encoder.encoding_errors
        super().__init__(
            self._make_to_any, deadline=deadline, lanes=0, encoding=encoding, errors=errors, on_event=on_event
        )
        self._connection_class: Callable[..., AbstractConnection] = cluster.connection_kwargs["connection_class"]
        self._options = connection_options(cluster)
        self._remap = cluster.nodes_manager.remap_host_port
        self._lanes_each = lanes
        manager = cluster.nodes_manager
        known = (*manager.startup_nodes.values(), *manager.nodes_cache.values())
        self._starts: list[Address] = list(dict.fromkeys((node.host, int(node.port)) for node in known))
        self._nodes: dict[Address, Node] = {}
        self._members: list[Address] = []  # of the last answer, replicas included
        self._owners = [self._node(random.choice(self._starts))] * _SLOT_COUNT
        self._outdated = False
        self._following: asyncio.Task[None] | None = None
        self._known = asyncio.Event()
        self._reads: ClusterReads | None = None
        self._tracked: ClusterTracking | None = None

    # Where a command goes --------------------------------------------------------------------------------------------

    def lane(self, key: Any) -> Lane:
        """The lane of the node that owns this key's slot."""
        number = slot_of(key)
        return self._owners[number].lane(number, lease=False)

    def lease_lane(self, key: Any) -> Lane:
        """The lane of leases to the node that owns this key's slot."""
        return self._owners[slot_of(key)].lease_lane

    def address(self, key: Any) -> Address:
        """Where the node is that owns this key's slot."""
        return self._owners[slot_of(key)].lease_lane.address

    async def primaries(self, deadline: float) -> list[Lane]:
        """A lane to each node that owns slots.

        Raises:
            redis.exceptions.TimeoutError: No node has told within the deadline who they are.
        """
        if not self._known.is_set():
            self.follow()
        try:
            async with asyncio.timeout(deadline):
                await self._known.wait()
        except TimeoutError:
            raise RedisTimeoutError(f"no node of the cluster answered within {deadline:g} s") from None
        return [node.lanes[0] for node in dict.fromkeys(self._owners)]

    @property
    def blocking(self) -> ClusterReads:  # type: ignore[override]
        """The connections of blocking reads, those of each node."""
        if self._reads is None:
            self._reads = ClusterReads(self)
        return self._reads

    @property
    def tracking(self) -> ClusterTracking:  # type: ignore[override]
        """The connections of tracked reads, which tell of changes, one to each node that is read."""
        if self._tracked is None:
            self._tracked = ClusterTracking(self)
        return self._tracked

    def tracking_at(self, address: Address, told: Invalidated) -> Tracking:
        """The connection of tracked reads to one node."""
        node = self._node(address)
        if node.tracking is None:
            dialer = Dialer(partial(self.connection_to, address), timeout=self.deadline, protocol=3, preloads=True)
            node.tracking = Tracking(
                partial(NodeLane, dialer=dialer, address=address, deadline=self.deadline, follow=self.follow),
                partial(Link.greeting, self),
                self.on_event,
            )
            node.tracking.listen(told)
        return node.tracking

    def all_tracking(self) -> list[Tracking]:
        """Those of the nodes that were read."""
        return [node.tracking for node in self._nodes.values() if node.tracking is not None]

    def _node(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = Node(partial(self._lane_to, address), self._lanes_each)
        return node

    def _lane_to(self, address: Address, lease: bool) -> NodeLane:
        make = partial(self.connection_to, address)
        dialer = Dialer(make, timeout=self.deadline, encoding=self._encoding, errors=self._errors, preloads=True)
        return NodeLane(self, dialer, address, deadline=self.deadline, follow=self.follow, lease=lease)

    def connection_to(self, address: Address) -> AbstractConnection:
        """An unconnected connection, with the user's options."""
        return self._connection_class(host=address[0], port=address[1], **self._options)

    def _make_to_any(self) -> AbstractConnection:
        candidates = self._candidates()
        return self.connection_to(random.choice([at for at in candidates if not self._seems_away(at)] or candidates))

    # A call that got no answer ---------------------------------------------------------------------------------------

    def _judge(self, error: Exception, lane: Lane, request: Request) -> tuple[Lane, list[bytes]]:
        number, lease = slot_of(request.key), cast(NodeLane, lane).lease
        if isinstance(error, AskError):
            node = self._node(self.redirect(error, cast(NodeLane, lane).address))
            chunks = [request.packed] if isinstance(error, MovedError) else [_ASKING, request.packed]
            return node.lane(number, lease=lease), chunks
        if isinstance(error, Unanswered):
            self.follow()
            if error.expired or (error.written and not request.repeatable):
                raise verdict(error, lane, request) from lane.last_error
        elif isinstance(error, ReadOnlyError | ClusterDownError):
            self.follow()
        elif not isinstance(error, TryAgainError | BusyLoadingError | NoScriptError):
            raise error
        return self._owners[number].lane(number, lease=lease), [request.packed]

    def redirect(self, error: AskError, asked: Address) -> Address:
        """Where a node sends a command; what it says of a slot that has moved for good is learnt at once."""
        address = self._mapped(error.host or asked[0], error.port)
        if isinstance(error, MovedError):
            self._owners[error.slot_id] = self._node(address)
            self._tell_of_move()
            self.follow()
        return address

    # The topology ----------------------------------------------------------------------------------------------------

    def greeting(self, lane: Lane) -> Greeting:
        """The first connection asks for the topology before anything else: who has had one answer knows it."""
        commands = super().greeting(lane)
        if not self._known.is_set():
            address = cast(NodeLane, lane).address
            commands.append((_CLUSTER_SLOTS, lambda shards: self._adopt(self._shards(shards, address))))
        return commands

    def follow(self) -> None:
        """Find out in the background who owns which slot, for as long as commands wait for a node that is away."""
        self._outdated = True
        if self._following is None or self._following.done():
            context = contextvars.Context()
            self._following = self.loop.create_task(self._follow(), name="redis cluster topology", context=context)

    async def _follow(self) -> None:
        while self._outdated:
            self._outdated = False
            shards = await self._ask_around()
            if shards:
                self._adopt(shards)
            await asyncio.sleep(_PAUSE)
            self._outdated |= any(lane.stuck for lane in self._all_lanes())

    async def _ask_around(self) -> list[_Shard]:
        """The first answer that a node gives, or nothing."""
        candidates = iter(self._candidates())
        while group := list(islice(candidates, _ASKED_AT_ONCE)):
            asked = [self.loop.create_task(self._ask(address)) for address in group]
            try:
                for answer in asyncio.as_completed(asked):
                    if shards := await answer:
                        return shards
            finally:
                for task in asked:
                    task.cancel()
                await asyncio.gather(*asked, return_exceptions=True)
        return []

    def _candidates(self) -> list[Address]:
        """Whom to ask, those that seem to be away last."""
        members = dict.fromkeys((*random.sample(self._members, len(self._members)), *self._starts))
        return sorted(members, key=self._seems_away)

    def _seems_away(self, address: Address) -> bool:
        node = self._nodes.get(address)
        return node is not None and any(lane.stuck and lane.last_error is not None for lane in node.all)

    async def _ask(self, address: Address) -> list[_Shard]:
        """What a node answers; nothing where it cannot be asked, which the lanes find out too, and tell."""
        try:
            connection = plain(self.connection_to(address))
            try:
                async with asyncio.timeout(min(self.deadline, _PATIENCE)):
                    await connection.connect()
                    await connection.send_command("CLUSTER", "SLOTS")
                    answer: Any = await connection.read_response(disable_decoding=True)
            finally:
                await connection.disconnect(nowait=True)
        except Exception:  # noqa: BLE001 - redis-py's, the streams', or what a user's part of the handshake raises
            return []
        return self._shards(answer, address)

    def _shards(self, answer: list[list[Any]], asked: Address) -> list[_Shard]:
        shards: list[_Shard] = []
        for first, last, *servers in answer:
            # A server that does not know its own address gives none: it is where it was asked.
            found = [self._mapped((server[0] or b"").decode() or asked[0], server[1]) for server in servers]
            shards.append((int(first), int(last), found))
        return shards

    def _mapped(self, host: str, port: int | str) -> Address:
        host, port = self._remap(host, int(port))
        return host, int(port)

    def _adopt(self, shards: list[_Shard]) -> None:
        owners = self._owners.copy()
        for first, last, addresses in shards:
            owners[first : last + 1] = [self._node(addresses[0])] * (last + 1 - first)
        changed, self._owners = owners != self._owners, owners
        self._members = list(dict.fromkeys(address for _, _, addresses in shards for address in addresses))
        serving = set(owners)
        for node in self._nodes.values():
            for lane in node.all:
                if node not in serving:
                    lane.give_back("not sent to a node that has lost its slots")
                    lane.retire()
                elif changed and lane.stuck:
                    lane.give_back("not sent before the cluster changed")
        if changed:
            self._tell_of_move()
        self._known.set()

    def _tell_of_move(self) -> None:
        """Nobody tells of changes to a slot at a node that it has left."""
        if self._tracked is not None:
            self._tracked.tell(None)

    def _all_lanes(self) -> list[NodeLane]:
        return [lane for node in self._nodes.values() for lane in node.all]

    # The end ---------------------------------------------------------------------------------------------------------

    async def retire(self) -> None:
        """Close what has nothing under way, and the rest as soon as it has nothing.

        redis-py's cluster client closes itself not only when its user is done with it, but also whenever it wants to
        look at the topology anew.
        """
        await self._finish(MOMENT)
        await self._stop_following()
        await asyncio.gather(*(lane.settle() for lane in self._all_lanes()))
        for lane in self._all_lanes():
            lane.retire()
        if self._subscriptions is not None and not self._subscriptions.listened_to:
            await self._subscriptions.aclose()
        if self._reads is not None:
            await self._reads.retire()

    async def _close(self) -> None:
        await super()._close()
        await self._stop_following()
        for lane in self._all_lanes():
            await lane.aclose()
        if self._reads is not None:
            await self._reads.aclose()

    async def _stop_following(self) -> None:
        if self._following is not None:
            await stop(self._following)


def connection_options(cluster: RedisCluster) -> dict[str, Any]:
    """The user's options for a connection to a node, without what belongs to redis-py's cluster client."""
    return {name: value for name, value in cluster.connection_kwargs.items() if name not in _NOT_FOR_SHARING}


def slot_of(key: Any) -> int:
    """The slot of a key as the server gets it; a number stands for its digits."""
    return slot(key if isinstance(key, str | bytes) else str(key))
