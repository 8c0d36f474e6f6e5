"""What Prometheus sees. Labels are roles, stages, channels, lanes, states and reasons: never a person or an address.

`deploy/prometheus/alerts.yaml` stands on these names; a test holds the two together.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

REGISTRY = CollectorRegistry()
PROCESS = ProcessCollector(registry=REGISTRY)
"""When the process started, its memory, processor time and open files, under the names that all exporters use."""

_FINE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LONG = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)

ready = Gauge("kabar_ready", "1 while a process of this role can work, 0 while it cannot", ["role"], registry=REGISTRY)
paused = Gauge(
    "kabar_paused",
    "1 while a process rests for this cause: shutdown, database, broker_consume, broker_publish, broker_blocked",
    ["cause"],
    registry=REGISTRY,
)
defects = Counter(
    "kabar_defects", "Failures that are Kabar's own and no outage, by stage; each is in the log", ["stage"],
    registry=REGISTRY,
)  # fmt: skip

events = Counter(
    "kabar_events", "Events by what became of them: accepted, repeated, rejected, suspect", ["outcome"],
    registry=REGISTRY,
)  # fmt: skip
event_wait_seconds = Histogram(
    "kabar_event_wait_seconds", "Age of the oldest event of a batch once the batch stands in the ledger", ["lane"],
    buckets=_LONG, registry=REGISTRY,
)  # fmt: skip
rejects = Counter("kabar_rejects", "Rejected events by reason code", ["reason"], registry=REGISTRY)
planned = Counter("kabar_planned", "Deliveries planned, by channel and lane", ["channel", "lane"], registry=REGISTRY)
skips = Counter(
    "kabar_skips", "Deliveries not planned, by channel and reason", ["channel", "reason"], registry=REGISTRY
)
outcomes = Counter(
    "kabar_outcomes", "Deliveries settled, by channel and state", ["channel", "state"], registry=REGISTRY
)
resends = Counter("kabar_resends", "Messages sent again after an unsure outcome", ["channel"], registry=REGISTRY)
failovers = Counter(
    "kabar_failovers", "Messages handed to a channel's next provider, by channel", ["channel"], registry=REGISTRY
)
breaker_state = Gauge(
    "kabar_breaker_state",
    "A provider account's circuit breaker as this process knows it: 0 closed, 1 open, 2 probing or ramping up",
    ["account"],
    registry=REGISTRY,
)
stage_seconds = Histogram(
    "kabar_stage_seconds", "Time a batch spent in a stage", ["stage"], buckets=_FINE, registry=REGISTRY
)
delivery_seconds = Histogram(
    "kabar_delivery_seconds", "Time from a delivery's row to its acceptance by the provider", ["channel", "lane"],
    buckets=_LONG, registry=REGISTRY,
)  # fmt: skip
publish_seconds = Histogram(
    "kabar_publish_seconds", "Time until the broker confirmed a publish", buckets=_FINE, registry=REGISTRY
)
publish_failures = Counter(
    "kabar_publish_failures", "Publishes that the broker did not confirm in time; they are repeated", registry=REGISTRY
)
send_seconds = Histogram("kabar_send_seconds", "Time one send took", ["channel"], buckets=_FINE, registry=REGISTRY)
batch_size = Histogram(
    "kabar_batch_size", "Items a stage worked on at once", ["stage"],
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500), registry=REGISTRY,
)  # fmt: skip
in_flight = Gauge("kabar_in_flight", "Deliveries leased and not yet settled", ["channel"], registry=REGISTRY)
queue_messages = Gauge("kabar_queue_messages", "Messages ready in a queue", ["queue"], registry=REGISTRY)
oldest_waiting_seconds = Gauge(
    "kabar_oldest_waiting_seconds", "Age of the oldest delivery ready for a courier", ["channel", "lane"],
    registry=REGISTRY,
)  # fmt: skip
unfinished = Gauge("kabar_unfinished", "Deliveries not at an end, by channel and state", ["channel", "state"],
                   registry=REGISTRY)  # fmt: skip
dead_letters_open = Gauge("kabar_dead_letters_open", "Dead letters that wait for a human", registry=REGISTRY)
timer_ticks = Counter("kabar_timer_ticks", "Looks of the timer at what is due", registry=REGISTRY)
timer_work = Counter(
    "kabar_timer_work", "Rows the timer moved, by kind: woken, reaped, healed, expired", ["kind"], registry=REGISTRY
)

# A counter that is not there before its first event seems not to have moved when it comes with a 1.
for _stage in ("intake", "lease", "render", "settle", "bury"):
    defects.labels(_stage)
for _kind in ("woken", "reaped", "healed"):
    timer_work.labels(_kind)


class Timed:
    """Observe how long a stage took over how many items. A failed block is not observed."""

    __slots__ = ("_items", "_start", "seconds", "stage")

    def __init__(self, stage: str, items: int) -> None:
        self.stage, self._items, self._start, self.seconds = stage, items, 0.0, 0.0

    def __enter__(self) -> Self:
        self._start = time.perf_counter()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.seconds = time.perf_counter() - self._start
            seconds, size = _children(self.stage)
            seconds.observe(self.seconds)
            size.observe(self._items)

    def begun_ago(self) -> float:
        """Answer how many seconds ago the block began."""
        return time.perf_counter() - self._start


@cache
def _children(stage: str) -> tuple[Histogram, Histogram]:
    return stage_seconds.labels(stage), batch_size.labels(stage)


@cache
def delivery_age(channel: str, lane: str) -> Histogram:
    """Answer the histogram of one channel's lane: to look it up anew costs more than to observe."""
    return delivery_seconds.labels(channel, lane)
