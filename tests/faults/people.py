"""Who lives in a scene: many people, each with one address on every channel, so that no address is told much."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg

from tests.faults.fakes import CHANNELS

_CHANGED_AT = datetime(2026, 1, 1, tzinfo=UTC)
_FIRST_CHAT = 100_000


def person_id(index: int) -> str:
    """Name the person of that index."""
    return f"person-{index:05}"


def address(channel: str, index: int, webhook_origin: str) -> str:
    """Answer the address of the person of that index on a channel."""
    match channel:
        case "email":
            return f"{person_id(index)}@scene.test"
        case "telegram":
            return str(_FIRST_CHAT + index)
        case _:
            return f"{webhook_origin}/services/T0SCENE/B0SCENE/{person_id(index)}"


async def settle_in(database_url: str, count: int, webhook_origin: str) -> None:
    """Write `count` people at once; the ledger must be migrated and know none of them."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.copy_records_to_table(
            "people",
            columns=["id", "name", "locale", "time_zone", "roles", "changed_at"],
            records=[(person_id(n), "Ayu", "en", "Asia/Jakarta", ["member"], _CHANGED_AT) for n in range(count)],
        )
        await connection.copy_records_to_table(
            "addresses",
            columns=["person_id", "channel", "address"],
            records=[
                (person_id(n), channel, address(channel, n, webhook_origin))
                for n in range(count)
                for channel in CHANNELS
            ],
        )
        await connection.execute("ANALYZE people, addresses")
    finally:
        await connection.close()
