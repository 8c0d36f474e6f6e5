"""Doing with held deliveries what an operator decides, and how they are shown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

import typer

from schemas.catalogue import Lane
from schemas.status import CONTENT_TYPE, StatusChange, batch
from worker.broker.publisher import Publisher
from worker.commands.lookup import Kind, find_one
from worker.commands.screen import masked, moment, screen, table
from worker.commands.session import open_ledger, open_publisher, operator
from worker.errors import BrokerAway
from worker.ledger.connection import Ledger, Record
from worker.ledger.intake import Ready
from worker.ledger.unsure import Deed, Filter, decide, find, held
from worker.settings import Settings

Which = list[str] | Filter
_DELIVERY = Kind("delivery", "deliveries", "kabar unsure list", find)
_NO_LIMIT = 10**9
_WOULD = {"resend": "would be resent", "was_sent": "would count as sent, on your word"}
_DONE = {"resend": "resent", "was_sent": "counts as sent, on your word"}


async def settle_doubts(settings: Settings, deed: Deed, which: Which, reason: str, *, is_dry: bool) -> int:
    """Resend held deliveries, or end them as sent; answers the exit code: 1 where any was refused.

    Nothing is done unless each id names one delivery.
    """
    async with open_ledger(settings) as ledger:
        if is_dry:
            return await _show(settings, ledger, deed, which)
        async with open_publisher(settings) as publisher:
            done = refused = 0
            async for page in _pages(ledger, which):
                chosen = [row for row in page if not _objection(settings, deed, row)]
                changed = await decide(ledger, deed, [row["id"] for row in chosen], operator(), reason)
                await _announce(publisher, changed)
                done += len(changed)
                refused += _tell(settings, deed, page, {row["id"] for row in changed}, each=isinstance(which, list))
    if isinstance(which, Filter):
        typer.echo(f"{done:,} {_DONE[deed]}" + (f", {refused:,} refused" if refused else ""))
    return 1 if refused else 0


async def _show(settings: Settings, ledger: Ledger, deed: Deed, which: Which) -> int:
    refused = number = 0
    async for page in _pages(ledger, which):
        for row in page:
            objection = _objection(settings, deed, row)
            refused += bool(objection)
            number += 1
            typer.echo(f"{str(row['id'])[:8]} {objection or _WOULD[deed]}")
    typer.echo(f"{number - refused:,} of {number:,} {_WOULD[deed]}; nothing was changed")
    return 1 if refused else 0


async def _pages(ledger: Ledger, which: Which) -> AsyncIterator[Sequence[Record]]:
    if isinstance(which, Filter):
        async for page in held(ledger, which, _NO_LIMIT):
            yield page
        return
    found = [await find_one(ledger, _DELIVERY, given) for given in which]
    yield list({row["id"]: row for row in found}.values())


def _objection(settings: Settings, deed: Deed, row: Record) -> str:
    """Answer why this cannot be done with it; '' where it can."""
    state = row.get("state", "unsure")
    if state != "unsure":
        return f"is not held any more but {state}"
    if deed == "was_sent":
        return "is the inbox's, which shows only what Kabar knows it sent: resend it" if _is_inbox(row) else ""
    if row["is_expired"]:
        return f"expired {moment(row['expires_at'])}: too late to send"
    if row["channel"] not in settings.channels:
        return f"is for {row['channel']}, which KABAR_CHANNELS does not switch on"
    return ""


def _is_inbox(row: Record) -> bool:
    return bool(row["channel"] == "inbox")


def _tell(settings: Settings, deed: Deed, page: Sequence[Record], changed: set[UUID], *, each: bool) -> int:
    """Say what became of a page; answers how many were refused. Those that were done are named only if asked for."""
    refused = 0
    for row in page:
        short = str(row["id"])[:8]
        if row["id"] not in changed:
            refused += 1
            typer.secho(f"{short} {_objection(settings, deed, row) or 'is not held any more'}", fg="red", err=True)
        elif each:
            typer.echo(f"{short} {_DONE[deed]}")
    return refused


async def _announce(publisher: Publisher, changed: Sequence[Record]) -> None:
    """Publish the jobs of what is ready, and tell the world. Without the broker the timer hands the jobs out."""
    ready = [Ready(row["id"], row["channel"], Lane(row["lane"])) for row in changed if row["state"] == "queued"]
    try:
        await publisher.publish_jobs(ready)
        for channel in sorted({row["channel"] for row in changed}):
            changes = [_change(row) for row in changed if row["channel"] == channel]
            body = batch(changes, datetime.now(UTC))
            await publisher.publish_status(f"delivery.{changes[0].state}.{channel}", body, CONTENT_TYPE)
    except* BrokerAway:
        typer.echo("the broker did not confirm it all: what is to be sent is handed out by the timer in about a minute")


def _change(row: Record) -> StatusChange:
    return StatusChange(
        row["id"], row["notification_id"], row["event_id"], row["source"], row["type"], row["person_id"],
        row["channel"], row["state"], row["reason"], row["attempt"], row["traceparent"],
    )  # fmt: skip


def shown(row: Record) -> dict[str, object]:
    """Make a held delivery fit to be shown: its address masked."""
    return {**row, "address": masked(row["address"]) if row["channel"] != "inbox" else row["address"]}


def print_held(rows: Sequence[Record], limit: int) -> None:
    """Print what is held, one a line."""
    out = screen()
    if not rows:
        out.print("nothing is held")
        return
    now = datetime.now(UTC)
    columns = ("id", "channel", "person", "address", "type", "event", "reason", "attempts", "held for", "expires")
    out.print(
        table(
            columns,
            [
                (
                    str(row["id"])[:8], row["channel"], row["person_id"], shown(row)["address"], row["type"],
                    row["event_id"], row["reason"], f"{row['attempt']} of {row['attempt_limit']}",
                    str(now - row["held_at"]).partition(".")[0],
                    "expired" if row["is_expired"] else moment(row["expires_at"]),
                )
                for row in rows
            ],
        )
    )  # fmt: skip
    if len(rows) == limit:
        out.print("there may be more: see --limit")
