"""Dead letters by their trouble, however many there are."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from importlib.metadata import version

import asyncpg
import orjson
import pytest

from tests.integration.command_line import kabar
from tests.integration.letters import BAD_EVENT, BAD_TEXT, OUTAGE, fill, fill_events
from worker.core.dead_letter import CODE, FIELD, read_dead
from worker.core.message import RawMessage
from worker.ledger.connection import Ledger
from worker.ledger.dead_letters import bury, groups

A_SECOND = 1.0


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    opened = Ledger(database_url)
    await opened.open()
    yield opened
    await opened.aclose()


async def test_letters_of_one_trouble_are_one_group(
    database: asyncpg.Connection[asyncpg.Record], database_url: str
) -> None:
    """An operator sees three troubles and not 250 letters, with all that tells one cause from another."""
    await fill(database, 200)
    await fill_events(database, 50)
    await database.execute("UPDATE dead_letters SET state = 'dropped' WHERE kind = 'event' AND event_id < 'r2'")
    await database.execute("UPDATE dead_letters SET provider = 'mail-1' WHERE fingerprint = $1", OUTAGE)

    environment = {"KABAR_DATABASE_URL": database_url, "KABAR_AMQP_URL": "amqp://127.0.0.1:1/"}
    answer = await kabar(environment, "dead", "groups", "--json")
    shown = await kabar(environment, "dead", "groups")

    outage, event, text = orjson.loads(answer.out)
    assert (outage["fingerprint"], event["fingerprint"], text["fingerprint"]) == (OUTAGE, BAD_EVENT, BAD_TEXT)
    assert (outage["open"], event["open"], text["open"]) == (198, 39, 2)
    assert (event["dropped"], event["replayed"], event["letters"]) == (11, 0, 50)
    assert (outage["channels"], outage["event_types"], outage["providers"]) == (["inbox"], ["custom.note"], ["mail-1"])
    assert outage["template_versions"] == ["en v0", "en v1", "en v2"]
    assert outage["kabar_versions"] == ["0.0", "0.1"]
    (sample,) = await database.fetch("SELECT * FROM dead_letters WHERE id = $1::text::uuid", event["sample"])
    assert (sample["state"], sample["fingerprint"]) == ("open", BAD_EVENT)
    for part in (
        OUTAGE[:8],
        "198",
        "provider_error",
        "(500)",
        "(data.title)",
        "mail-1",
        "en v0, en v1, en v2",
        outage["sample"][:8],
    ):
        assert part in shown.out


async def test_a_trouble_that_came_back_keeps_the_day_it_began(ledger: Ledger) -> None:
    """First seen is when its first message arrived, last seen when any arrived again."""
    message = RawMessage(b"{}", "order.shipped", headers={CODE: "payload_invalid", FIELD: "data.order_code"})
    await bury(ledger, [read_dead(message)], "event")
    await ledger.fetch("UPDATE dead_letters SET first_seen_at = now() - interval '3 days', created_at = first_seen_at")

    await bury(ledger, [read_dead(message)], "event")

    (group,) = await groups(ledger, 10, with_closed=False)
    assert (group["last_seen_at"] - group["first_seen_at"]).days == 3
    assert (group["letters"], group["kabar_versions"]) == (1, [version("kabar")])


async def test_a_group_with_nothing_open_is_shown_only_when_asked_for(ledger: Ledger) -> None:
    """What was dealt with is out of the way, and not gone."""
    await bury(ledger, [read_dead(RawMessage(b"{}", "order.shipped"))], "event")
    await ledger.fetch("UPDATE dead_letters SET state = 'replayed'")

    assert await groups(ledger, 10, with_closed=False) == []
    (group,) = await groups(ledger, 10, with_closed=True)
    assert (group["open"], group["replayed"]) == (0, 1)


async def test_the_groups_of_100_000_letters_are_there_within_a_second(
    database: asyncpg.Connection[asyncpg.Record], ledger: Ledger
) -> None:
    """After the worst of outages the first look is as quick as ever."""
    await fill(database, 100_000)

    began = time.monotonic()
    found = await groups(ledger, 50, with_closed=False)
    took = time.monotonic() - began

    assert [group["open"] for group in found] == [99_000, 1_000]
    assert took < A_SECOND
