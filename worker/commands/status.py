"""`kabar status`: how the house is, or what became of an event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from uuid import UUID

    from rich.console import Console

    from worker.ledger.connection import Record
    from worker.ledger.inquiry import EventStory

    Found = tuple[list[EventStory], list[Record]]

_EVENT_SAYS = {
    "audience_empty": "nobody is in its audience",
    "directory": "it changed the people directory; nobody is told of that",
}


def status(
    event_id: Annotated[
        str, typer.Argument(help="the id its producer gave it; without one: how the house is", metavar="[EVENT_ID]")
    ] = "",
    source: Annotated[str, typer.Option(help="only the event of this source; an id may exist once in each")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="deliveries shown; the counts are complete")] = 200,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """Show what became of an event: its deliveries, every attempt, its reason, and what is due next.

    Without an event: what waits on each channel and since when, and which provider's account rests and why.
    """
    from worker.commands.house import show_house  # noqa: PLC0415
    from worker.commands.screen import print_json, screen  # noqa: PLC0415 - each command loads only what it needs
    from worker.commands.session import run_command  # noqa: PLC0415

    if not event_id:
        if source:
            raise typer.BadParameter("it narrows an event's id: give the id too", param_hint="--source")
        show_house(as_json=as_json)
        return
    stories, letters = run_command(_find(event_id, source, limit))
    if as_json:
        print_json(_document(event_id, stories, letters))
        return
    out = screen()
    for story in stories:
        _print_story(out, story)
    _print_letters(out, letters)


async def _find(event_id: str, source: str, limit: int) -> Found:
    from worker.commands.session import open_ledger  # noqa: PLC0415
    from worker.errors import NotFound  # noqa: PLC0415
    from worker.ledger.inquiry import event_stories, rejections  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    async with open_ledger(load_settings()) as ledger:
        stories = await event_stories(ledger, event_id, source, limit)
        letters = await rejections(ledger, event_id)
    if not stories and not letters:
        of = f" of source {source!r}" if source else ""
        raise NotFound(
            f"no event {event_id!r}{of} is in the ledger: it has not arrived, waits in a queue, or its id could not be"
            " read (`kabar dead list`)"
        )
    return stories, letters


def _document(event_id: str, stories: Sequence[EventStory], letters: Sequence[Record]) -> dict[str, object]:
    return {
        "event_id": event_id,
        "events": [
            {
                **story.event,
                "deliveries_total": story.total,
                "counts": [dict(row) for row in story.counts],
                "deliveries": [{**row, "attempts": tries} for row, tries in _with_attempts(story)],
            }
            for story in stories
        ],
        "dead_letters": [dict(row) for row in letters],
    }


def _with_attempts(story: EventStory) -> Iterator[tuple[Record, list[dict[str, object]]]]:
    tries: dict[UUID, list[dict[str, object]]] = defaultdict(list)
    for row in story.attempts:
        tries[row["delivery_id"]].append({name: value for name, value in row.items() if name != "delivery_id"})
    for row in story.deliveries:
        yield row, tries[row["id"]]


def _print_story(out: Console, story: EventStory) -> None:
    from worker.commands.screen import facts, moment, often, table  # noqa: PLC0415

    event = story.event
    out.print(
        facts(
            [
                ("event", event["id"]),
                ("type", event["type"]),
                ("source", event["source"]),
                ("time", moment(event["time"])),
                ("received", moment(event["received_at"])),
                ("subject", event["subject"]),
                ("audience", event["audience"]),
                ("actor", event["actor"]),
                ("expires", moment(event["expires_at"])),
                ("arrived again", often(event["repeats"]) if event["repeats"] else ""),
                ("large audience", _members_told(event)),
                ("made nothing", _EVENT_SAYS.get(event["reason"], event["reason"])),
                ("deliveries", _counted(story)),
            ]
        )
    )
    if story.deliveries:
        columns = ("person", "route", "channel", "state", "attempts", "reason", "detail", "text", "when")
        out.print("", table(columns, _rows(story)))
    if len(story.deliveries) < story.total:
        out.print(f"… and {story.total - len(story.deliveries):,} more: see --limit")
    out.print()


def _members_told(event: Record) -> str:
    if event["members_told"] is None:
        return ""
    return f"{event['members_told']:,} members, {'all of them' if event['told_at'] else 'and going on'}"


def _counted(story: EventStory) -> str:
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for row in story.counts:
        counts[row["channel"], row["state"]] += row["deliveries"]
    return ", ".join(f"{channel} {state} {number:,}" for (channel, state), number in counts.items())


def _rows(story: EventStory) -> Iterator[tuple[object, ...]]:
    from worker.commands.screen import moment  # noqa: PLC0415

    now = datetime.now(UTC)
    for row, tries in _with_attempts(story):
        attempts = f"{row['attempt']} of {row['attempt_limit']}" if row["attempt_limit"] else ""
        yield (
            row["person_id"], row["route"], row["channel"], row["state"], attempts, row["reason"], _told(row),
            row["template_version"], _when(row, now),
        )  # fmt: skip
        for one in tries:
            took = f" after {one['duration_ms']} ms" if one["duration_ms"] is not None else ""
            at = one["at"]
            yield (
                "", "", "", f"  {one['outcome']}", f"no. {one['attempt']}", one["reason"], one["detail"], "",
                f"{moment(at)}{took}" if isinstance(at, datetime) else "",
            )  # fmt: skip


def _told(row: Record) -> str:
    """Whose servers took it, or what they said."""
    by = f"by {row['provider']}" if row["provider"] else ""
    return f"{row['detail']} ({by})" if by and row["detail"] else row["detail"] or by


def _when(row: Record, now: datetime) -> str:
    from worker.commands.screen import moment  # noqa: PLC0415

    if row["due_at"] is None:
        return f"{row['state']} {moment(row['finished_at'])}"
    seconds = int((row["due_at"] - now).total_seconds())
    what = {"waiting": "sent again", "queued": "handed out again", "leased": "given up"}[row["state"]]
    return f"{what} {moment(row['due_at'])} ({f'in {seconds} s' if seconds >= 0 else f'{-seconds} s ago'})"


def _print_letters(out: Console, letters: Sequence[Record]) -> None:
    from worker.commands.screen import moment, table  # noqa: PLC0415

    if letters:
        rows = [
            (str(row["id"])[:8], row["state"], row["reason"], row["field"], row["remedy"], moment(row["created_at"]))
            for row in letters
        ]
        title = "rejected: kabar dead show ID tells more"
        out.print(table(("id", "state", "reason", "field", "remedy", "when"), rows, title))
