"""`kabar status` without an event: what waits on each channel, and how the providers' accounts are. Changes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from worker.commands.accounts import STATES, cause_of, next_of
from worker.commands.screen import moment, print_json, screen, table
from worker.commands.session import open_ledger, run_command
from worker.ledger.connection import Record
from worker.ledger.deliveries import gauges
from worker.ledger.inquiry import accounts, dead_by_channel
from worker.settings import load_settings


@dataclass(slots=True)
class ChannelState:
    """What is not at an end on one channel. `oldest_seconds`: how long its oldest has been ready for a courier."""

    queued: int = 0
    waiting: int = 0
    leased: int = 0
    unsure: int = 0
    dead: int = 0
    oldest_seconds: dict[str, float] = field(default_factory=dict)
    """By lane."""


def show_house(*, as_json: bool) -> None:
    """Print how the house is."""
    channels, rows = run_command(_look())
    if as_json:
        print_json(
            {
                "channels": [{"channel": name, **asdict(state)} for name, state in channels.items()],
                "accounts": [dict(row) for row in rows],
            }
        )
        return
    out = screen()
    columns = ("channel", "queued", "waiting", "leased", "unsure", "dead", "oldest ready for")
    out.print(table(columns, _channel_rows(channels)) if channels else "nothing waits on any channel")
    if rows:
        out.print("", table(("account", "provider", "", "since", "why", "next"), _account_rows(rows)))


async def _look() -> tuple[Mapping[str, ChannelState], Sequence[Record]]:
    settings = load_settings()
    async with open_ledger(settings) as ledger:
        counts, dead = await gauges(ledger), await dead_by_channel(ledger)
        rows = await accounts(ledger, settings.channels)
    channels: dict[str, ChannelState] = defaultdict(ChannelState, {name: ChannelState() for name in settings.channels})
    for row in counts:
        state = channels[row["channel"]]
        setattr(state, row["state"], getattr(state, row["state"]) + row["deliveries"])
        if row["oldest_seconds"] is not None:
            state.oldest_seconds[row["lane"]] = max(0.0, float(row["oldest_seconds"]))
    for channel, letters in dead.items():
        channels[channel].dead = letters
    return channels, rows


def _channel_rows(channels: Mapping[str, ChannelState]) -> Iterator[tuple[object, ...]]:
    for name, one in channels.items():
        oldest = ", ".join(f"{_spoken(seconds)} ({lane})" for lane, seconds in sorted(one.oldest_seconds.items()))
        yield name or "(events)", *(f"{count:,}" for count in _counts(one)), oldest


def _counts(one: ChannelState) -> tuple[int, ...]:
    return one.queued, one.waiting, one.leased, one.unsure, one.dead


def _account_rows(rows: Sequence[Record]) -> Iterator[tuple[object, ...]]:
    for row in rows:
        state, since = STATES[row["state"]], moment(row["changed_at"])
        yield row["account"], row["provider"], state, since, cause_of(row), next_of(row)


def _spoken(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
