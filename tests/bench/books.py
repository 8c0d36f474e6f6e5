"""What the sinks wrote down, and what follows from it: lost, doubled, latency. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """One message a sink answered with "yes": the event's number, and when (CLOCK_MONOTONIC, nanoseconds).

    `message_id` is the mail's own; empty for Slack, which has none.
    """

    number: int
    at_ns: int
    message_id: str = ""


Books = Mapping[str, Sequence[Accepted]]
"""Everything accepted, by channel, in the order of arrival."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Books against what was published. `unlike`: doubled mails whose Message-ID is not that of the first."""

    lost: int
    doubled: int
    unlike: int


def tally(published: range, books: Books) -> Tally:
    """Count what never arrived and what arrived more than once. Raises `ValueError` for what nobody published."""
    lost = doubled = unlike = 0
    for channel, accepted in books.items():
        counts = Counter(entry.number for entry in accepted)
        strangers = [number for number in counts if number not in published]
        if strangers:
            raise ValueError(
                f"{channel}: {len(strangers)} messages belong to no event of this run, e.g. {strangers[0]}"
            )
        lost += len(published) - len(counts)
        doubled += len(accepted) - len(counts)
        unlike += len(accepted) - len(counts) - _alike(accepted) if channel == "email" else 0
    return Tally(lost, doubled, unlike)


def _alike(accepted: Sequence[Accepted]) -> int:
    """Count the repetitions of a number that come with the same Message-ID."""
    return len(accepted) - len({(entry.number, entry.message_id or id(entry)) for entry in accepted})


def latencies_ms(published_at_ns: Mapping[int, int], accepted: Sequence[Accepted]) -> list[float]:
    """Answer, sorted, the milliseconds from just before each publish to the sink's acceptance."""
    return sorted((entry.at_ns - published_at_ns[entry.number]) / 1e6 for entry in accepted)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Answer the value that `share` (0 to 1) of a sorted, non-empty sequence does not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def slope_per_minute(samples: Sequence[tuple[float, float]]) -> float:
    """Answer the least-squares slope of (seconds, value) samples, in value per minute; 0 for fewer than two moments."""
    if len(samples) < 2:
        return 0.0
    middle_x = sum(x for x, _ in samples) / len(samples)
    middle_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - middle_x) ** 2 for x, _ in samples)
    lean = sum((x - middle_x) * (y - middle_y) for x, y in samples)
    return 60 * lean / spread if spread else 0.0
