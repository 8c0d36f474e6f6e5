"""What a channel answered, and what follows from it. Pure: the clock, chance and the ledger stand elsewhere.

A channel's `send` gives an `Outcome`. `judge` turns it into a `Verdict`, which `settle` writes to the ledger:

    Sent      → Done("sent")
    Deferred  → Again while attempts are left (or always, where the outcome costs none), then Dead
    Refused   → Done("refused") where the person's side refuses for good, Dead where the fault is ours
    Unsure    → Again under policy `resend`, Done("unsure") under policy `hold`
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Literal

from worker.core.backoff import Backoff

_JITTER_SECONDS = 0.2  # on top of a provider's own word


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider has taken the message. `reference` is its id for it, empty where it gives none."""

    reference: str = ""


@dataclass(frozen=True, slots=True)
class Deferred:
    """The provider has certainly not taken it, and may later.

    `retry_after` is the provider's own word on when; without it the back-off decides. `costs_attempt` is
    false where the cause is no fault of this message: a rate limit, an open breaker, rejected credentials.
    `scope` names what must rest meanwhile, `account` or `address`; empty: only this delivery.
    """

    reason: str
    detail: str = ""
    retry_after: timedelta | None = None
    costs_attempt: bool = True
    scope: Literal["", "account", "address"] = ""


def rest_of(deferred: Deferred) -> float:
    """Answer for how many seconds its scope must rest: as long as the provider said, else one."""
    return deferred.retry_after.total_seconds() if deferred.retry_after is not None else 1.0


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider will never take it. `fault` says whose side that is: the person's address, or our message.

    `suppress` is true where the address itself is at an end (mailbox unknown, bot blocked, webhook gone).
    """

    reason: str
    detail: str = ""
    fault: Literal["person", "ours"] = "person"
    suppress: bool = False


@dataclass(frozen=True, slots=True)
class Unsure:
    """The message passed the point of no return and no answer came: it may or may not have been taken."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Released:
    """It was leased and not tried: a shutdown, a lease grown too old, a provider that must rest. Costs nothing.

    `retry_after` None: any courier may take it at once.
    """

    reason: str
    retry_after: timedelta | None = None


Outcome = Sent | Deferred | Refused | Unsure | Released


class UnsurePolicy(StrEnum):
    """What to do with a message of which nobody knows whether it went out."""

    RESEND = "resend"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Done:
    """The delivery is at an end, in this state."""

    state: Literal["sent", "refused", "unsure"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Again:
    """The delivery waits for `delay`. `costs_attempt` false gives the attempt back; `resends`: it may be a double."""

    delay: timedelta
    reason: str
    costs_attempt: bool = True
    resends: bool = False


@dataclass(frozen=True, slots=True)
class Requeue:
    """The delivery was not tried: it is ready for any courier at once, its attempt given back."""

    reason: str


@dataclass(frozen=True, slots=True)
class Dead:
    """The delivery needs a human."""

    reason: str


Verdict = Done | Again | Requeue | Dead


def judge(
    outcome: Outcome,
    *,
    attempt: int,
    attempt_limit: int,
    policy: UnsurePolicy,
    backoff: Backoff,
    jitter: float,
) -> Verdict:
    """Say what follows from an outcome.

    `attempt` counts from 1 and includes this one; `attempt_limit` is the last that may be made; `jitter` is in [0, 1).
    """
    match outcome:
        case Sent():
            return Done("sent")
        case Released():
            if outcome.retry_after is None:
                return Requeue(outcome.reason)
            delay = outcome.retry_after + timedelta(seconds=jitter * _JITTER_SECONDS)
            return Again(delay, outcome.reason, costs_attempt=False)
        case Refused(fault="person"):
            return Done("refused", outcome.reason)
        case Refused():
            return Dead(outcome.reason)
        case Deferred():
            return _after_deferral(outcome, attempt, attempt_limit, backoff, jitter)
        case Unsure() if policy is UnsurePolicy.HOLD:
            return Done("unsure", outcome.reason)
        case Unsure():
            if attempt >= attempt_limit:
                return Dead(outcome.reason)
            return Again(backoff.delay(attempt, jitter), outcome.reason, resends=True)


def _after_deferral(
    outcome: Deferred, attempt: int, attempt_limit: int, backoff: Backoff, jitter: float
) -> Again | Dead:
    if outcome.costs_attempt and attempt >= attempt_limit:
        return Dead(outcome.reason)
    # The provider's word is a floor, and met to the second; what rests as a whole comes back little by little anyway.
    delay = backoff.delay(attempt, jitter)
    if outcome.retry_after is not None:
        delay = outcome.retry_after + timedelta(seconds=jitter * _JITTER_SECONDS)
    return Again(delay, outcome.reason, costs_attempt=outcome.costs_attempt)
