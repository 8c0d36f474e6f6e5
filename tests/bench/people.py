"""The directory of the measured job: people with an address on each channel and two preferences that forbid nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg

_CHANGED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def person_id(index: int) -> str:
    """Name the person of that index."""
    return f"person-{index:05}"


async def seed(database_url: str, count: int, *, webhook_origin: str) -> None:
    """Write `count` people at once; the ledger must be migrated and know none of them."""
    ids = [person_id(index) for index in range(count)]
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.copy_records_to_table(
                "people",
                columns=["id", "name", "locale", "time_zone", "roles", "changed_at"],
                records=[(each, f"Ayu {each}", "en", "Asia/Jakarta", ["member"], _CHANGED_AT) for each in ids],
            )
            await connection.copy_records_to_table(
                "addresses",
                columns=["person_id", "channel", "address"],
                records=[
                    *((each, "email", f"{each}@bench.test") for each in ids),
                    *((each, "slack", f"{webhook_origin}/services/T0BENCH/B0BENCH/{each}") for each in ids),
                ],
            )
            await connection.copy_records_to_table(
                "preferences",
                columns=["person_id", "scope", "channel", "enabled", "changed_at"],
                records=[
                    *((each, "type:bench.paid", "email", True, _CHANGED_AT) for each in ids),
                    *((each, "category:promotion", "*", False, _CHANGED_AT) for each in ids),
                ],
            )
        await connection.execute("ANALYZE people, addresses, preferences")
    finally:
        await connection.close()
