"""What the person before the terminal sees of a running Kabar: figures, newest messages, what is amiss.

Listens on `kabar.status` as any service may, and asks the ledger for what is not at an end. Every other worker on the
same broker and ledger is therefore seen too, but for the events it took in.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from aiormq.abc import AbstractConnection, DeliveredMessage
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from worker import metrics
from worker.broker.connection import Link
from worker.broker.topology import STATUS
from worker.ledger import deliveries
from worker.ledger.connection import Ledger, is_outage

NEWEST = 8
_STATE_STYLES = {"sent": "green", "waiting": "yellow", "unsure": "magenta", "refused": "red", "dead": "bold red"}
_OPEN_LETTERS = "SELECT channel, count(*) AS letters FROM dead_letters WHERE state = 'open' GROUP BY channel"
_TITLES = "SELECT id, title FROM notifications WHERE id = ANY($1::uuid[]) AND title IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one delivery, as `kabar.status` told it."""

    at: datetime
    notification_id: UUID
    event_type: str
    person_id: str
    channel: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """One channel. `waiting` and `dead` are what the ledger holds now; the others are counted since the start."""

    channel: str
    sent: int
    waiting: int
    refused: int
    unsure: int
    skipped: int
    dead: int


@dataclass(frozen=True, slots=True)
class Figures:
    """One look. `dead` counts all dead letters that are open: events as well as deliveries. `newest` comes first."""

    accepted: int
    repeated: int
    rejected: int
    dead: int
    rows: tuple[Row, ...]
    newest: tuple[tuple[Change, str], ...]
    amiss: tuple[str, ...]


class Summary:
    """Keeps count while `run` runs. `channels` are shown in this order."""

    def __init__(self, urls: Sequence[str], ledger: Ledger, channels: Sequence[str]) -> None:
        self._ledger = ledger
        self._channels = channels
        self._counts: Counter[tuple[str, str]] = Counter()
        self._newest: deque[Change] = deque(maxlen=NEWEST)
        self._waiting: Counter[str] = Counter()
        self._dead: Counter[str] = Counter()
        self._titles: dict[UUID, str] = {}
        self._link = Link(urls, "summary", self._listen)

    async def run(self) -> None:
        """Listen until cancelled."""
        try:
            await self._link.run()
        finally:
            await self._link.aclose()

    async def heard(self) -> None:
        """Return once it listens: whatever is announced from now on is counted."""
        await self._link.up.wait()

    async def look(self, amiss: Sequence[str]) -> Figures:
        """Answer the figures of this moment; while the database is away, its share is the last known."""
        try:
            await self._ask_ledger()
        except Exception as error:
            if not is_outage(error):
                raise
        events = _samples(metrics.events, "outcome")
        return Figures(
            accepted=int(events["accepted"]),
            repeated=int(events["repeated"]),
            rejected=int(events["rejected"]),
            dead=self._dead.total(),
            rows=tuple(self._row(channel) for channel in self._channels),
            newest=tuple((change, self._titles.get(change.notification_id, "")) for change in self._newest),
            amiss=tuple(amiss),
        )

    async def _listen(self, connection: AbstractConnection) -> None:
        channel = await connection.channel()
        queue = (await channel.queue_declare(exclusive=True)).queue or ""
        await channel.queue_bind(queue, STATUS, "delivery.#")
        await channel.basic_consume(queue, self._hear, no_ack=True)

    async def _hear(self, delivered: DeliveredMessage) -> None:
        for event in orjson.loads(delivered.body):
            change = _read(event)
            self._counts[change.channel, change.state] += 1
            if change.state != "skipped":
                self._newest.appendleft(change)

    async def _ask_ledger(self) -> None:
        waiting: Counter[str] = Counter()
        for row in await deliveries.gauges(self._ledger):
            if row["state"] != "unsure":
                waiting[row["channel"]] += row["deliveries"]
        letters = await self._ledger.fetch(_OPEN_LETTERS)
        shown = {change.notification_id for change in self._newest}
        titles = await self._ledger.fetch(_TITLES, list(shown - self._titles.keys()))
        self._waiting, self._dead = waiting, Counter({row["channel"]: row["letters"] for row in letters})
        self._titles = {key: title for key, title in self._titles.items() if key in shown}
        self._titles |= {row["id"]: row["title"] for row in titles}

    def _row(self, channel: str) -> Row:
        sent, refused, unsure, skipped = (
            self._counts[channel, state] for state in ("sent", "refused", "unsure", "skipped")
        )
        return Row(channel, sent, self._waiting[channel], refused, unsure, skipped, self._dead[channel])


def picture(figures: Figures) -> RenderableType:
    """Draw the figures for a terminal."""
    parts: list[RenderableType] = [_headline(figures), _channels(figures), _newest(figures)]
    parts += [Text(f"! {reason}", style="bold red") for reason in figures.amiss]
    return Padding(Group(*parts), (1, 0, 0, 1))


def line(figures: Figures) -> str:
    """Say the figures in one line, for a file or a pipe."""
    sent = " ".join(f"{row.channel}={row.sent}" for row in figures.rows)
    waiting = sum(row.waiting for row in figures.rows)
    amiss = "".join(f"; {reason}" for reason in figures.amiss)
    return f"events in {figures.accepted}; sent {sent}; waiting {waiting}; dead {figures.dead}{amiss}"


def _headline(figures: Figures) -> Text:
    text = Text.assemble(("events in ", "dim"), (f"{figures.accepted:,}", "bold"))
    for name, count, style in (("repeated", figures.repeated, "bold"), ("rejected", figures.rejected, "bold red")):
        if count:
            text.append_text(Text.assemble((f"   {name} ", "dim"), (f"{count:,}", style)))
    dead = Text.assemble(("   dead letters ", "dim"), (f"{figures.dead:,}", "bold red" if figures.dead else "bold"))
    return text.append_text(dead)


def _channels(figures: Figures) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("channel")
    for name in ("sent", "waiting", "refused", "unsure", "dead", "skipped"):
        table.add_column(name, justify="right")
    for row in figures.rows:
        table.add_row(
            row.channel,
            _number(row.sent, "green"),
            _number(row.waiting, "yellow"),
            _number(row.refused, "red"),
            _number(row.unsure, "magenta"),
            _number(row.dead, "bold red"),
            _number(row.skipped, "default"),
        )
    return table


def _newest(figures: Figures) -> RenderableType:
    if not figures.newest:
        return Text("\nNothing has been delivered yet.", style="dim")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False, expand=True)
    for widest in (None, None, 32, 24):
        table.add_column(no_wrap=True, max_width=widest, overflow="ellipsis")
    table.add_column(no_wrap=True, ratio=1, overflow="ellipsis")
    for change, title in figures.newest:
        state = f"{change.state} ({change.reason})" if change.reason else change.state
        table.add_row(
            Text(f"{change.at.astimezone():%H:%M:%S}", style="dim"),
            Text(change.channel),
            Text(state, style=_STATE_STYLES.get(change.state, "default")),
            Text(_printable(change.person_id)),
            Text(_printable(title or change.event_type), style="dim"),
        )
    return Padding(table, (1, 0, 0, 0))


def _number(count: int, style: str) -> Text:
    return Text(f"{count:,}", style=style) if count else Text("·", style="dim")


def _printable(text: str) -> str:
    # Titles and ids come from producers, and a terminal obeys some characters.
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _read(event: dict[str, Any]) -> Change:
    data = event["data"]
    return Change(
        datetime.fromisoformat(event["time"]),
        UUID(data["notification_id"]),
        *(str(data[name]) for name in ("event_type", "person_id", "channel", "state", "reason")),
    )


def _samples(counter: Any, label: str) -> Counter[str]:
    samples = (sample for metric in counter.collect() for sample in metric.samples if sample.name.endswith("_total"))
    return Counter({sample.labels[label]: sample.value for sample in samples})
