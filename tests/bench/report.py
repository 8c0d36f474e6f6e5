"""Figures as a table that says what holds and what does not, and as one JSON object. Pure but for drawing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table

from tests.bench.floor import Floor
from tests.bench.results import Full, Killed, Latency, Memory, Renders, Steady, Waiting

_MOST_GROWTH_MIB = 8.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `must` is the bound it has to keep, with its direction; none where it only informs."""

    key: str
    meaning: str
    value: float
    must: float | None = None
    bound: Literal["≤", "≥"] = "≤"

    @property
    def holds(self) -> bool:
        """Say whether the bound is kept."""
        if self.must is None:
            return True
        return self.value <= self.must if self.bound == "≤" else self.value >= self.must


@dataclass(frozen=True, slots=True)
class Report:
    """All that was measured; what was not asked for is None."""

    floor: Floor
    renders: Renders
    full: Full
    steady: Steady
    memory: Memory
    killed: Killed | None = None
    waiting: Waiting | None = None

    def figures(self) -> list[Figure]:
        """Answer every figure in the order of the table."""
        return [
            *_cost(self.full, self.floor),
            *_rendering(self.renders),
            *_speed(self.full, self.steady),
            Figure("rss_mib", "resident memory of the larger worker, peak", self.memory.rss, 120),
            Figure("pss_mib", "the same without what processes share", self.memory.pss),
            Figure("lost", "events that missed a sink", self.full.tally.lost + self.steady.tally.lost, 0),
            Figure("doubled", "messages a sink got again", self.full.tally.doubled + self.steady.tally.doubled, 0),
            *(_killed(self.killed) if self.killed else ()),
            *(_waiting(self.waiting) if self.waiting else ()),
        ]

    def holds(self) -> bool:
        """Say whether every bound is kept."""
        return all(figure.holds for figure in self.figures())

    def document(self) -> Mapping[str, object]:
        """Answer the object that `--json` prints."""
        document: dict[str, object] = {figure.key: round(figure.value, 4) for figure in self.figures()}
        document["holds"] = self.holds()
        document["deliveries"] = self.full.deliveries
        document["floor_parts"] = {name: round(value, 4) for name, value in asdict(self.floor).items()}
        if self.killed:
            document["kill_in_flight_by_channel"] = dict(self.killed.in_flight)
            document["kill_states"] = dict(self.killed.states)
        return document

    def draw(self, console: Console) -> None:
        """Print the table."""
        title = f"{self.full.deliveries} deliveries in {self.full.seconds:.1f} s, two worker processes"
        draw(console, title, self.figures())
        parts = ", ".join(f"{name} {value:.3f}" for name, value in asdict(self.floor).items())
        console.print(f"Floor, CPU-s per 1000 deliveries: {parts}.")


def draw(console: Console, title: str, figures: Sequence[Figure]) -> None:
    """Print figures as a table that says which bounds hold."""
    table = Table(title=title)
    table.add_column("figure", no_wrap=True)
    table.add_column("measured", justify="right")
    table.add_column("must", justify="right")
    table.add_column("")
    table.add_column("what it counts")
    for figure in figures:
        must = "" if figure.must is None else f"{figure.bound} {_short(figure.must)}"
        mark = "" if figure.must is None else "[green]✓[/]" if figure.holds else "[red]✗[/]"
        table.add_row(figure.key, _short(figure.value), must, mark, figure.meaning)
    console.print(table)


def _cost(full: Full, floor: Floor) -> Iterator[Figure]:
    spent = full.spent
    yield Figure(
        "worker_cpu_s_per_1000", "worker CPU-s per 1000 deliveries, from each ready line on", spent.worker, 0.35
    )
    yield Figure("floor_ratio", "the same over the floor of this run", spent.worker / floor.total, 1.8)
    yield Figure("floor_cpu_s_per_1000", "the unavoidable calls alone", floor.total)
    yield Figure("worker_cpu_s_per_1000_with_boot", "worker CPU-s with starting the processes", spent.worker_with_boot)
    yield Figure("database_cpu_s_per_1000", "PostgreSQL, all its processes", spent.database)
    yield Figure("broker_cpu_s_per_1000", "RabbitMQ", spent.broker)
    yield Figure("sinks_cpu_s_per_1000", "both sinks", spent.sinks)
    yield Figure("others_share", "of the machine's time, for processes of others", full.others_share)


def _rendering(renders: Renders) -> Iterator[Figure]:
    yield Figure("render_email_us", "CPU µs to render one e-mail, HTML and text, layout included", renders.email_us, 60)
    yield Figure("render_slack_us", "one Slack message", renders.slack_us, 25)
    yield Figure("render_telegram_us", "one Telegram message", renders.telegram_us, 25)
    yield Figure("render_yardstick_us", "EmailMessage to print that mail, its words given", renders.yardstick_us)
    yield Figure("texts_load_ms", "CPU ms to load all built-in texts", renders.texts_load_ms, 300)


def _speed(full: Full, steady: Steady) -> Iterator[Figure]:
    yield Figure(
        "deliveries_per_s", "from the first ready line to the last row settled", full.deliveries_per_s, 3500, "≥"
    )
    yield Figure("latency_p50_ms", "publish to acceptance at 100 events/s", steady.all.p50, 8)
    yield Figure("latency_p95_ms", "", steady.all.p95)
    yield Figure("latency_p99_ms", "", steady.all.p99, 30)
    yield Figure("latency_max_ms", "", steady.all.max)
    for channel, latency in steady.by_channel.items():
        yield from _latency(channel, latency)
    yield Figure("latency_worker_cpu_s_per_1000", "worker CPU-s at that pace", steady.worker)
    yield Figure("latency_others_share", "of the machine's time meanwhile, for others", steady.others_share)


def _latency(channel: str, latency: Latency) -> Iterable[Figure]:
    return (
        Figure(f"latency_{channel}_p50_ms", f"{channel} alone", latency.p50),
        Figure(f"latency_{channel}_p99_ms", "", latency.p99),
    )


def _killed(killed: Killed) -> Iterator[Figure]:
    in_flight = sum(killed.in_flight.values())
    not_sent = sum(count for state, count in killed.states.items() if state != "sent")
    yield Figure("kill_lost", "kill -9 of both workers at half-way: events that missed a sink", killed.tally.lost, 0)
    yield Figure("kill_doubled", "messages a sink got again, at most those in flight", killed.tally.doubled, in_flight)
    yield Figure("kill_in_flight", "deliveries leased at that moment", in_flight)
    yield Figure("kill_unlike", "doubled mails whose Message-ID is not that of the first", killed.tally.unlike, 0)
    yield Figure("kill_not_sent", "deliveries that ended otherwise than sent", not_sent, 0)
    yield Figure("kill_recovery_s", "from the restart to the last delivery's end", killed.seconds_to_end)


def _waiting(waiting: Waiting) -> Iterator[Figure]:
    yield Figure("waiting_rss_mib", f"peak while {waiting.events} events waited", waiting.rss, 120)
    yield Figure("waiting_growth_mib", "gained after the first quarter of that run", waiting.growth, _MOST_GROWTH_MIB)
    yield Figure("waiting_slope_mib_per_min", "the trend of it", waiting.slope)
    yield Figure("waiting_lost", "", waiting.tally.lost, 0)
    yield Figure("waiting_doubled", "", waiting.tally.doubled, 0)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
