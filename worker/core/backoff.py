"""When to try again: exponential, capped, with full jitter.

The jitter is a parameter, so that this stays pure: the caller draws it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Backoff:
    """The schedule of one channel. `attempt_limit` counts all tries, the first included."""

    base: timedelta = timedelta(seconds=5)
    cap: timedelta = timedelta(hours=1)
    attempt_limit: int = 8

    def delay(self, attempt: int, jitter: float) -> timedelta:
        """The wait after the given attempt (counted from 1), for a `jitter` in [0, 1).

        `jitter · min(cap, base · 2^(attempt - 1))`: full jitter, as in AWS's "Exponential Backoff And Jitter".
        """
        ceiling = min(self.cap, self.base * (1 << min(attempt - 1, 29)))
        return ceiling * jitter
