"""What each run measured. Plain values; what they must be is the report's business."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.books import Tally


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds per 1000 deliveries. `worker` from each worker's ready line on, `worker_with_boot` from its birth."""

    worker: float
    worker_with_boot: float
    database: float
    broker: float
    sinks: float


@dataclass(frozen=True, slots=True)
class Renders:
    """CPU microseconds to render and fit one delivery, and CPU milliseconds to load every built-in text.

    `yardstick_us`: what the standard library takes to print the same mail, its words given. It tells how fast the
    machine is at the moment, for whoever compares two runs.
    """

    email_us: float
    slack_us: float
    telegram_us: float
    yardstick_us: float
    texts_load_ms: float


@dataclass(frozen=True, slots=True)
class Full:
    """As fast as it goes. `deliveries_per_s` counts from the first worker's ready line to the last row settled.

    `others_share`: how much of the machine went to processes that are no part of this (0 to 1).
    """

    deliveries: int
    seconds: float
    deliveries_per_s: float
    spent: Spent
    others_share: float
    tally: Tally


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from just before publishing to the sink's acceptance."""

    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Steady:
    """At an even pace: latency over all deliveries and by channel, and the CPU seconds of workers per 1000."""

    all: Latency
    by_channel: Mapping[str, Latency]
    worker: float
    others_share: float
    tally: Tally


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB of the largest worker process: the most that was ever resident, and its share of what is shared."""

    rss: float
    pss: float


@dataclass(frozen=True, slots=True)
class Killed:
    """Every worker killed at half-way. `in_flight`: deliveries leased at that moment, by channel."""

    in_flight: Mapping[str, int]
    tally: Tally
    states: Mapping[str, int]
    seconds_to_end: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """With a mountain before it. `growth`: MiB the larger worker gained after the first quarter; `slope` a minute."""

    events: int
    rss: float
    growth: float
    slope: float
    tally: Tally


@dataclass(frozen=True, slots=True)
class Behind:
    """Urgent events behind a mountain of bulk. `worked_off`: bulk messages that went out meanwhile."""

    waiting: int
    seconds_to_fill: float
    worked_off: int
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class History:
    """The same work with an empty ledger and with `rows` finished deliveries in it, and the median to explain one."""

    rows: int
    seconds_to_fill: float
    empty: Full
    laden: Full
    explain_ms: float


@dataclass(frozen=True, slots=True)
class Phase:
    """The latencies of mails in milliseconds, by the second in which each was due to be published, and sorted therein.

    `tally`: what became of its events on every channel.
    """

    mails_ms: Sequence[Sequence[float]]
    tally: Tally


@dataclass(frozen=True, slots=True)
class Hanging:
    """As many phases with Slack well as with Slack hanging, each with its neighbour in time at the same place.

    `given_up`: sends to Slack that hung for as long as a send is waited for.
    """

    well: Sequence[Phase]
    hung: Sequence[Phase]
    given_up: int


@dataclass(frozen=True, slots=True)
class Outage:
    """Seconds from the provider's return to its first message and to the last of those that waited.

    `fastest`: the most messages it got within any second; `doubled`: what it got again; `unsent`: rows not sent.
    """

    waiting: int
    limit_per_second: int
    first: float
    drained: float
    fastest: int
    doubled: int
    unsent: int
