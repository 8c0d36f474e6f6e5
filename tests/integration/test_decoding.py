"""Messages whose properties are odd on the wire: they are read, refused by name, and stop nobody."""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from aiormq.abc import AbstractConnection
from pamqp import commands

from schemas.catalogue import Catalogue
from tests.integration.amqp_clients import RawClient
from worker.broker.consumer import Consumer, Inbox
from worker.broker.publisher import Publisher
from worker.broker.topology import DEAD_INTAKE, DEAD_LETTER, declare, topology
from worker.core.dead_letter import read_dead
from worker.core.message import Rejected
from worker.deployment import BUILT_IN_EVENTS
from worker.pipeline.accept import accept

CATALOGUE = Catalogue.of_modules(BUILT_IN_EVENTS)
WANTED = topology(CATALOGUE, ("inbox",))
HEADERS, TIMESTAMP, MESSAGE_ID = 1 << 13, 1 << 6, 1 << 7
EVENT_ID = b"\x02e1"


def table(entries: bytes) -> bytes:
    return struct.pack(">I", len(entries)) + entries


def nested(levels: int, kind: bytes) -> bytes:
    """Answer headers of so many levels: tables (F) under one name, or lists (A)."""
    name = b"\x02$a" if kind == b"F" else b""
    inner = b""
    for _ in range(levels):
        inner = name + kind + table(inner)
    return table(inner if name else b"\x01a" + inner)


async def declare_all(connection: AbstractConnection) -> None:
    channel = await connection.channel()
    await declare(channel, WANTED)
    await channel.close()


async def publish(url: str, flags: int, properties: bytes, routing_key: str = "no.type") -> None:
    """Publish `{}` with properties that no client library would write, and wait until the broker has it."""
    client = await RawClient.connect(url)
    await client.negotiate(url)
    client.send_method(commands.Confirm.Select(), 1)
    await client.expect(commands.Confirm.SelectOk)
    header = struct.pack(">HHQH", 60, 0, 2, flags) + properties
    client.send_method(commands.Basic.Publish(exchange="kabar.events", routing_key=routing_key), 1)
    client.send(struct.pack(">BHI", 2, 1, len(header)) + header + b"\xce")
    client.send(struct.pack(">BHI", 3, 1, 2) + b"{}\xce")
    await client.expect(commands.Basic.Ack)
    await client.aclose()


@pytest.mark.parametrize(
    ("flags", "properties", "code", "event_id"),
    [
        (HEADERS, table(b""), "id_invalid", None),
        # Microseconds where AMQP counts seconds: the year 55,000 even for a reader that takes them for milliseconds.
        (MESSAGE_ID | TIMESTAMP, EVENT_ID + struct.pack(">Q", 1_770_000_000_000_000), "time_invalid", "e1"),
        (MESSAGE_ID | TIMESTAMP, EVENT_ID + struct.pack(">Q", 2**64 - 1), "time_invalid", "e1"),
        (HEADERS | MESSAGE_ID, table(b"\x01aT" + struct.pack(">Q", 2**63)) + EVENT_ID, "type_unknown", "e1"),
        (MESSAGE_ID, b"\x03a\xff\xfe", "type_unknown", r"a\xff\xfe"),
        (MESSAGE_ID, b"\xff" + b"\xff" * 255, "type_unknown", r"\xff" * 63 + r"\xf"),
        (HEADERS | MESSAGE_ID, table(b"\x02\xff\xfeV") + EVENT_ID, "headers_unreadable", "e1"),
        (HEADERS | MESSAGE_ID, table(b"\x01aS\x00\x00\x00\x02\xff\xfe") + EVENT_ID, "type_unknown", "e1"),
        (HEADERS | MESSAGE_ID, table(b"\x01ax\x00\x00\x00\x02\xff\xfe") + EVENT_ID, "type_unknown", "e1"),
        (
            HEADERS | MESSAGE_ID,
            table(b"\x01aF" + table(b"\x01bS\x00\x00\x00\x01\xff")) + EVENT_ID,
            "type_unknown",
            "e1",
        ),
        (HEADERS | MESSAGE_ID, table(b"\x01aD\xff\x00\x00\x00\x05") + EVENT_ID, "type_unknown", "e1"),
        (HEADERS | MESSAGE_ID, table(b"\x01ad" + struct.pack(">d", 1e300)) + EVENT_ID, "type_unknown", "e1"),
        (HEADERS | MESSAGE_ID, table(b"\x01al" + b"\xff" * 8) + EVENT_ID, "type_unknown", "e1"),
        (HEADERS | MESSAGE_ID, nested(98, b"F") + EVENT_ID, "type_unknown", "e1"),
        (HEADERS | MESSAGE_ID, nested(260, b"F") + EVENT_ID, "headers_unreadable", "e1"),
        (HEADERS | MESSAGE_ID, nested(800, b"A") + EVENT_ID, "headers_unreadable", "e1"),
    ],
)
async def test_odd_properties_are_refused_by_name_and_stop_nobody(
    request: pytest.FixtureRequest, amqp_url: str, flags: int, properties: bytes, code: str, event_id: str | None
) -> None:
    """One producer's slip costs that producer's event, and not everybody's deliveries."""
    if code == "headers_unreadable" and request.node.callspec.params["amqp_url"] == "development":
        pytest.skip("the development broker refuses such a publish at once")
    inbox, hall = Inbox("kabar.intake.normal", 10), Inbox(DEAD_INTAKE, 10)
    consumer = Consumer([amqp_url], [inbox, hall], declare_all)
    publisher = Publisher([amqp_url], declare_all)
    links = [asyncio.create_task(link.run()) for link in (consumer.link, publisher.link)]
    await asyncio.wait_for(asyncio.gather(consumer.link.up.wait(), publisher.link.up.wait()), 10)

    await publish(amqp_url, flags, properties)
    (received,) = await asyncio.wait_for(inbox.take(10), 10)
    (judged,) = accept([received.message], CATALOGUE, datetime.now(UTC))
    await publisher.publish_raw(
        received.message, exchange=DEAD_LETTER, routing_key="intake", headers=dict(received.message.headers)
    )
    (dead,) = await asyncio.wait_for(hall.take(10), 10)

    assert isinstance(judged, Rejected)
    assert (judged.code, dead.message.message_id) == (code, event_id)
    assert read_dead(dead.message).event_id == (event_id or "")
    assert not consumer.link.outage
    for link, task in zip((consumer.link, publisher.link), links, strict=True):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await link.aclose()
