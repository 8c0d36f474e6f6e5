"""A RabbitMQ cluster on one machine: nodes that share their queues, each of which can be killed by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from worker.dev.rabbitmq import RabbitMQ, Realm
from worker.errors import ServiceUnavailable

_BOOTS = 3


@dataclass(frozen=True, slots=True)
class Cluster:
    """Nodes that were formed into one."""

    nodes: tuple[RabbitMQ, ...]

    @staticmethod
    @asynccontextmanager
    async def start(base_dir: Path, *, size: int = 3, version: str = "") -> AsyncIterator[Cluster]:
        """Run a cluster until the block ends; arguments and errors as those of `RabbitMQ.start`.

        All boot at once, because a node of 4.x waits for its peers.
        """
        names = tuple(f"kabar{number}" for number in range(1, size + 1))
        async with Realm.open(base_dir, schedulers=1, version=version) as realm, AsyncExitStack() as stack:
            cluster = Cluster(tuple(RabbitMQ(realm, name, names) for name in names))
            for node in cluster.nodes:
                stack.push_async_callback(node.kill)
            async with asyncio.TaskGroup() as group:
                for node in cluster.nodes:
                    group.create_task(_boot(node))
            yield cluster

    @property
    def urls(self) -> list[str]:
        """The address of each node, in an order that stays."""
        return [node.url for node in self.nodes]

    async def leader_of(self, queue: str) -> RabbitMQ:
        """Answer the node that leads a queue of the default vhost."""
        asked = next(node for node in self.nodes if node.is_running)
        listed = await asked.ctl("--quiet", "list_queues", "--no-table-headers", "name", "leader")
        leaders = dict(line.split("\t") for line in listed.splitlines() if "\t" in line)
        for node in self.nodes:
            if leaders.get(queue) == f"{node.name}@localhost":
                return node
        raise ServiceUnavailable(f"No node leads the queue {queue!r}: {leaders.get(queue, 'there is none')}.")


async def _boot(node: RabbitMQ) -> None:
    """Start a node, and again: nodes of 3.10 that boot at the same moment may crash over their feature flags."""
    for _ in range(_BOOTS - 1):
        try:
            await node.resume()
        except ServiceUnavailable:
            await node.kill()
        else:
            return
    await node.resume()
