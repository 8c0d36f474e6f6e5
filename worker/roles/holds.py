"""Which addresses must rest, as this process heard by its own sends: for what it has leased already.

What is leased later the ledger holds back, on every worker. Takes the time as a parameter.
"""

from __future__ import annotations

from datetime import timedelta

from worker.core.outcome import Deferred, Released, rest_of

_MOST_ADDRESSES = 10_000


class Holds:
    """The rests of one channel's addresses. Times are seconds on the monotonic clock."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def note(self, outcome: Deferred, address: str, now: float) -> None:
        """Learn that an address must rest: as long as its provider said, else a second."""
        if len(self._until) >= _MOST_ADDRESSES:
            self._until = {held: until for held, until in self._until.items() if until > now}
        self._until[address] = now + rest_of(outcome)

    def objection(self, address: str, now: float) -> Released | None:
        """Answer why a send to this address must not begin now, and when it may."""
        if not self._until:
            return None
        left = self._until.get(address, 0.0) - now
        return Released("address_rests", timedelta(seconds=left)) if left > 0 else None
