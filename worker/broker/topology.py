"""The exchanges, queues and bindings Kabar declares; the same on RabbitMQ 3.10 through 4.3.

Pure data until `declare` writes it to a broker. Arguments never change in place: a queue that must differ gets a new
name, the old one is drained and deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

import aiormq
from aiormq.abc import AbstractChannel

from schemas.catalogue import Catalogue, Lane
from worker.errors import TopologyMismatch

EVENTS: Final = "kabar.events"
INTAKE: Final = "kabar.intake"
UNKNOWN: Final = "kabar.unknown"
DELIVER: Final = "kabar.deliver"
DEAD_LETTER: Final = "kabar.dlx"
STATUS: Final = "kabar.status"
SUSPECT: Final = "kabar.suspect"
DEAD_INTAKE: Final = "kabar.dead.intake"
DEAD_DELIVER: Final = "kabar.dead.deliver"
# Brokers of 4.x delete a dead letter at its 21st look, and 3.10 at the first where the limit is -1.
_NO_LIMIT: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange."""

    name: str
    kind: Literal["topic", "direct", "fanout"]
    internal: bool = False
    arguments: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable quorum queue."""

    name: str
    arguments: dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Binding:
    """A way from an exchange to a queue or to another exchange."""

    source: str
    destination: str
    routing_key: str
    to_exchange: bool = False


@dataclass(frozen=True, slots=True)
class Topology:
    """All of it. `absent` are bindings that must not be there: a type that changed its lane leaves its old one."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]
    absent: tuple[Binding, ...] = ()


def intake_queue(lane: Lane) -> str:
    """Name the queue of events of one lane."""
    return f"kabar.intake.{lane}"


def deliver_queue(channel: str, lane: Lane) -> str:
    """Name the queue of jobs of one channel and lane."""
    return f"kabar.deliver.{channel}.{lane}"


def topology(catalogue: Catalogue, channels: Iterable[str]) -> Topology:
    """Draw the topology for a catalogue and the channels this deployment has."""
    channels = tuple(channels)
    return Topology(
        exchanges=_exchanges(),
        queues=tuple(_queues(channels)),
        bindings=(*_fixed_bindings(channels), *_lane_bindings(catalogue, present=True)),
        absent=tuple(_lane_bindings(catalogue, present=False)),
    )


def _exchanges() -> tuple[Exchange, ...]:
    return (
        Exchange(EVENTS, "topic"),
        Exchange(UNKNOWN, "fanout", internal=True),
        Exchange(INTAKE, "topic", internal=True, arguments={"alternate-exchange": UNKNOWN}),
        Exchange(DELIVER, "direct"),
        Exchange(DEAD_LETTER, "direct"),
        Exchange(STATUS, "topic"),
    )


def _queues(channels: tuple[str, ...]) -> Iterator[Queue]:
    for lane in Lane:
        yield _work_queue(intake_queue(lane), "intake", limit=20)
    yield _work_queue(SUSPECT, "intake", limit=5)
    for channel in channels:
        for lane in Lane:
            yield _work_queue(deliver_queue(channel, lane), "deliver", limit=20)
    for name in (DEAD_INTAKE, DEAD_DELIVER):
        yield Queue(name, {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-delivery-limit": _NO_LIMIT})


def _work_queue(name: str, dead_key: str, *, limit: int) -> Queue:
    return Queue(
        name,
        {
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": DEAD_LETTER,
            "x-dead-letter-routing-key": dead_key,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-delivery-limit": limit,
        },
    )


def _fixed_bindings(channels: tuple[str, ...]) -> Iterator[Binding]:
    yield Binding(EVENTS, INTAKE, "#", to_exchange=True)
    yield Binding(UNKNOWN, intake_queue(Lane.NORMAL), "")
    yield Binding(DEAD_LETTER, DEAD_INTAKE, "intake")
    yield Binding(DEAD_LETTER, DEAD_DELIVER, "deliver")
    for channel in channels:
        for lane in Lane:
            yield Binding(DELIVER, deliver_queue(channel, lane), f"{channel}.{lane}")


def _lane_bindings(catalogue: Catalogue, *, present: bool) -> Iterator[Binding]:
    """Each type is bound to the queue of its lane, and to no other."""
    for info in catalogue:
        for lane in Lane:
            if (lane is info.lane) is present:
                yield Binding(INTAKE, intake_queue(lane), info.binding)


async def declare(channel: AbstractChannel, wanted: Topology) -> None:
    """Write a topology to the broker. Safe to repeat, and by many processes at once."""
    try:
        await _declare(channel, wanted)
    except aiormq.exceptions.ChannelPreconditionFailed as error:
        raise TopologyMismatch(
            f"the broker has a queue or exchange of the same name and other arguments: {error}. Drain it, delete it"
            " (rabbitmqctl delete_queue NAME) and start again."
        ) from error


async def _declare(channel: AbstractChannel, wanted: Topology) -> None:
    for exchange in wanted.exchanges:
        await channel.exchange_declare(
            exchange.name,
            exchange_type=exchange.kind,
            durable=True,
            internal=exchange.internal,
            arguments=dict(exchange.arguments),
        )
    for queue in wanted.queues:
        await channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
    for binding in wanted.bindings:
        bind = channel.exchange_bind if binding.to_exchange else channel.queue_bind
        await bind(binding.destination, binding.source, binding.routing_key)
    for binding in wanted.absent:
        await channel.queue_unbind(binding.destination, binding.source, binding.routing_key)
