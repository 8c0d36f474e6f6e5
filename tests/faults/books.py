"""The three books of a scene compared: what was confirmed, what the providers accepted, what the ledger says. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tests.bench.books import percentile
from tests.faults.fakes import Entry

UNFINISHED = frozenset({"queued", "leased", "waiting"})
_GIVEN_UP = frozenset({"dead", "refused"})
_SHOWN = 3


class Row(NamedTuple):
    """One delivery as the ledger has it. `ran_out`: how many of its leases did."""

    number: int
    channel: str
    state: str
    reason: str
    attempt: int
    resends: int
    ran_out: int


@dataclass(frozen=True, slots=True)
class Tally:
    """The books of some events against each other, counted in deliveries.

    `lost`: confirmed, and neither accepted by the provider nor ended in the ledger with a reason; also what the ledger
    calls sent and nobody accepted. `doubled`: accepted more than once, each time after the first. `in_flight`: leases
    that ran out with the process that held them, which is what may be doubled under policy `resend`. `silent`: rows
    that are not at an end. `false_dead`: dead or refused, though accepted. `unsure`: shown to an operator as such.
    `dead`: dead letters among them. `attempts`: the most that any of them took.
    """

    events: int
    lost: int
    doubled: int
    in_flight: int
    silent: int
    false_dead: int
    unsure: int
    dead: int
    attempts: int
    examples: Mapping[str, str]

    def broken(self, *, doubles: int = 0) -> list[str]:
        """Say which promises are broken: nothing lost, silent or falsely dead, and at most so many doubles."""
        bounds = {"lost": 0, "doubled": doubles, "silent": 0, "false_dead": 0}
        return [
            f"{name}: {getattr(self, name)}, at most {most}; {self.examples.get(name, '')}"
            for name, most in bounds.items()
            if getattr(self, name) > most
        ]


def tally(confirmed: Iterable[int], channels: Sequence[str], entries: Iterable[Entry], rows: Iterable[Row]) -> Tally:
    """Compare the books of these events. Pass all there are: those of other events and channels are left out."""
    events = set(confirmed)
    accepted = Counter((one.channel, one.number) for one in entries if one.accepted)
    ledger = {(row.channel, row.number): row for row in rows if row.number in events and row.channel in channels}
    found: dict[str, list[object]] = {name: [] for name in ("lost", "doubled", "silent", "false_dead")}
    for key in ((channel, number) for channel in channels for number in events):
        row, count = ledger.get(key), accepted[key]
        if count == 0 and (row is None or row.state == "sent"):
            found["lost"].append(row or key)
        if row is not None and row.state in UNFINISHED:
            found["silent"].append(row)
        if count and row is not None and row.state in _GIVEN_UP:
            found["false_dead"].append(row)
        found["doubled"] += [(key, row)] * (count - 1)
    return Tally(
        events=len(events),
        lost=len(found["lost"]),
        doubled=len(found["doubled"]),
        in_flight=sum(row.ran_out for row in ledger.values()),
        silent=len(found["silent"]),
        false_dead=len(found["false_dead"]),
        unsure=sum(row.state == "unsure" for row in ledger.values()),
        dead=sum(row.state == "dead" for row in ledger.values()),
        attempts=max((row.attempt for row in ledger.values()), default=0),
        examples={name: "; ".join(map(str, some[:_SHOWN])) for name, some in found.items() if some},
    )


def latencies_ms(confirmed: Mapping[int, float], entries: Iterable[Entry], channel: str) -> list[float]:
    """Answer, sorted, the milliseconds from just before each publish to the provider's acceptance on one channel."""
    return sorted(
        (one.at - confirmed[one.number]) * 1000
        for one in entries
        if one.accepted and one.channel == channel and one.number is not None and one.number in confirmed
    )


def p99_ms(confirmed: Mapping[int, float], entries: Iterable[Entry], channel: str) -> float:
    """Answer the latency that 99 of 100 messages of a channel do not exceed."""
    return percentile(latencies_ms(confirmed, entries, channel), 0.99)
