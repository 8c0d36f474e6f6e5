"""Texts published in the running system: kept for ever, each with its author. Knows nothing of what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from worker.core.editions import Published
from worker.core.text_source import Place
from worker.ledger.connection import Connection, Ledger, Record, statement

_PUBLISHERS = 0x7465787473  # "texts": the advisory lock of whoever publishes
Draft = tuple[Place, str | None]
"""A text that is to be published; None: its file is to hold again."""


async def newest_edition(ledger: Ledger) -> int:
    """Answer the newest edition; 0 where nothing was ever published."""
    (row,) = await ledger.fetch(statement("texts_newest"))
    return int(row["edition"])


async def published_since(ledger: Ledger, edition: int) -> list[Published]:
    """Answer what was published after an edition, oldest first."""
    return [_published(row) for row in await ledger.fetch(statement("texts_since"), edition)]


async def live(ledger: Ledger) -> list[Record]:
    """Answer the newest version of each text that was ever published; its `source` is null where the file holds."""
    return await ledger.fetch(statement("texts_live"))


async def history(ledger: Ledger, place: Place) -> list[Record]:
    """Answer every version of a text, newest first."""
    return await ledger.fetch(statement("text_history"), *place)


async def publish(
    ledger: Ledger,
    drafts: Sequence[Draft],
    *,
    author: str,
    note: str,
    action: Literal["publish", "rollback"] = "publish",
) -> list[Published]:
    """Publish all or none, each as its text's next version, with a row in the audit. They are checked already."""

    async def work(connection: Connection) -> list[Published]:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _PUBLISHERS)
        published = []
        for place, text in drafts:
            (row,) = await connection.fetch(
                statement("text_publish"), *place, text, author, note, f"template.{action}", place.name
            )
            published.append(Published(row["id"], place, row["version"], text))
        return published

    return await ledger.transact(work)


def _published(row: Record) -> Published:
    edition, event_type, audience, locale, channel, version, source = row
    return Published(edition, Place(event_type, audience, locale, channel), version, source)
