"""When a provider's account must rest: what one outcome says of it, and what a run of them does. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from worker.core.outcome import Deferred, Outcome, Refused, Released, Sent, Unsure

RUN = 5
"""So many failures of different deliveries, with no answer to any other between them, are the account's trouble."""


class Trouble(NamedTuple):
    """An account must rest, as long as its provider said; None: nobody knows how long."""

    reason: str
    rest: timedelta | None = None


class Run:
    """The failures in a row of one account, as one process sees them."""

    def __init__(self) -> None:
        self._length = 0
        self._last: UUID | None = None

    def note(self, outcome: Outcome, delivery: UUID) -> Trouble | None:
        """Take in an outcome. Answers the trouble that it makes certain.

        An outage says so itself, and so does a limit of the whole account. One delivery that fails again and again
        is no run.
        """
        match outcome:
            case Sent() | Refused():
                self._length, self._last = 0, None
            case Released():
                pass
            case Deferred(scope="account"):
                self._length, self._last = 0, None
                return Trouble(outcome.reason, outcome.retry_after)
            case Deferred() | Unsure():
                if delivery != self._last:
                    self._length, self._last = self._length + 1, delivery
                if self._length >= RUN:
                    self._length, self._last = 0, None
                    return Trouble(outcome.reason, _rest(outcome))
        return None


def probed(outcome: Outcome) -> Trouble | None:
    """Say what one try tells of an account in trouble: that it still is; None: it answers again."""
    match outcome:
        case Sent() | Refused() | Released() | Deferred(scope="address"):
            return None
        case Deferred() | Unsure():
            return Trouble(outcome.reason, _rest(outcome))


def _rest(outcome: Deferred | Unsure) -> timedelta | None:
    return outcome.retry_after if isinstance(outcome, Deferred) else None
