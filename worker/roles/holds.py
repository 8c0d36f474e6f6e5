"""What must rest in this process: a provider account or one address that asked for it, or cannot be reached.

Only memory: after a restart the provider is asked again, and answers again. Takes the time as a parameter.
"""

from __future__ import annotations

from datetime import timedelta

from worker.core.outcome import Deferred, Outcome, Released

_LONGEST_REST_SECONDS = 60.0
_MOST_ADDRESSES = 10_000


class Holds:
    """The rests of one channel. Times are seconds on the monotonic clock."""

    def __init__(self) -> None:
        self._account_until = 0.0
        self._failures = 0
        self._address_until: dict[str, float] = {}

    def note(self, outcome: Outcome, address: str, now: float) -> None:
        """Learn from an outcome. An account that gives no time rests longer with each failure, up to a minute."""
        match outcome:
            case Deferred(scope="account"):
                self._failures += 1
                guess = min(_LONGEST_REST_SECONDS, 0.5 * 2 ** min(self._failures, 10))
                self._account_until = max(self._account_until, now + _seconds(outcome.retry_after, guess))
            case Deferred(scope="address"):
                self._forget_past(now)
                self._address_until[address] = now + _seconds(outcome.retry_after, 1.0)
            case Released():
                return
            case _:
                self._failures = 0

    def account_seconds_left(self, now: float) -> float:
        """Answer how long the account still rests; 0 where it does not."""
        return max(0.0, self._account_until - now)

    def objection(self, address: str, now: float) -> Released | None:
        """Answer why a send to this address must not begin now, and when it may."""
        left = self.account_seconds_left(now)
        if left:
            return Released("account_rests", timedelta(seconds=left))
        if not self._address_until:
            return None
        left = self._address_until.get(address, 0.0) - now
        return Released("address_rests", timedelta(seconds=left)) if left > 0 else None

    def _forget_past(self, now: float) -> None:
        if len(self._address_until) >= _MOST_ADDRESSES:
            self._address_until = {address: until for address, until in self._address_until.items() if until > now}


def _seconds(given: timedelta | None, otherwise: float) -> float:
    return given.total_seconds() if given is not None else otherwise
