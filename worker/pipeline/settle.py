"""Stage 8: outcomes become verdicts and are written back, many in one statement.

The life of a delivery that does not succeed at once:
 1. `send` answers Deferred, Refused or Unsure; `judge` says what follows.
 2. Again: the row waits until its time; the timer makes it ready and publishes a job; its next attempt begins at lease.
 3. A deferral that is no fault of the message gives its attempt back.
 4. The last attempt failed, or the fault is ours: the row is dead, and a dead letter tells a human.
 5. Unsure: policy `resend` waits like a deferral and is counted; policy `hold` rests until an operator decides.
 6. No row waits beyond its expiry: it ends as expired.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from worker.channels.base import PLAIN, Abilities
from worker.channels.inbox import InboxMessage
from worker.core.fingerprint import code_in, fingerprint
from worker.core.outcome import (
    Again,
    Dead,
    Deferred,
    Done,
    Outcome,
    Refused,
    Released,
    Requeue,
    Sent,
    Unsure,
    judge,
    rest_of,
)
from worker.ledger import deliveries
from worker.ledger.connection import Ledger
from worker.ledger.deliveries import Leased, Settlement, Shown


class Tried(NamedTuple):
    """A leased delivery and what its channel answered, and whose host that was.

    `jitter` is in [0, 1); `shown` is what the inbox is to show.
    """

    leased: Leased
    outcome: Outcome
    abilities: Abilities
    jitter: float
    duration_ms: int = 0
    shown: InboxMessage | None = None
    template_version: str = ""
    provider: str = ""


async def settle(ledger: Ledger, tried: Sequence[Tried]) -> list[tuple[Tried, str]]:
    """Write a batch back; waits while the database is away.

    Answers each that was written, with its new state. What is missing was not ours any more: its lease had run out.
    """
    settlements = [_settlement(one) for one in tried]
    shown = [_shown(one.leased, one.shown) for one in tried if one.shown is not None]
    states = await ledger.persist(lambda: deliveries.settle(ledger, settlements, shown))
    return [(one, states[one.leased.id]) for one in tried if one.leased.id in states]


def _shown(leased: Leased, message: InboxMessage) -> Shown:
    return Shown(
        leased.id, leased.notification_id, message.title, message.body, message.link, message.action,
        None if message.trimmings is PLAIN else orjson.dumps(message.trimmings).decode(),
    )  # fmt: skip


def _settlement(one: Tried) -> Settlement:
    leased, outcome = one.leased, one.outcome
    if isinstance(outcome, Sent):
        return Settlement(
            leased.id, leased.token, "sent",
            reference=outcome.reference, template_version=one.template_version, provider=one.provider,
        )  # fmt: skip
    verdict = judge(
        outcome,
        attempt=leased.attempt,
        attempt_limit=leased.attempt_limit,
        policy=leased.on_unsure,
        backoff=one.abilities.backoff,
        jitter=one.jitter,
    )
    state, delay, gives_back, resends = _state_after(verdict)
    detail = "" if isinstance(outcome, Released) else outcome.detail
    return Settlement(
        leased.id,
        leased.token,
        state,
        reason=outcome.reason,
        detail=detail,
        delay_seconds=delay,
        gives_back=gives_back,
        resends=resends,
        outcome=_name(outcome),
        duration_ms=one.duration_ms,
        suppresses=isinstance(outcome, Refused) and outcome.suppress,
        fingerprint=fingerprint("settle", leased.channel, outcome.reason, code_in(detail)) if state == "dead" else "",
        template_version=one.template_version,
        provider=one.provider,
        rest_seconds=rest_of(outcome) if isinstance(outcome, Deferred) and outcome.scope == "address" else 0.0,
    )


def _state_after(verdict: Done | Again | Requeue | Dead) -> tuple[str, float, bool, bool]:
    """Answer the row's state, its wait in seconds, whether the attempt is given back, whether it counts as a resend."""
    match verdict:
        case Done():
            return verdict.state, 0.0, False, False
        case Again():
            return "waiting", verdict.delay.total_seconds(), not verdict.costs_attempt, verdict.resends
        case Requeue():
            return "queued", 0.0, True, False
        case Dead():
            return "dead", 0.0, False, False


def _name(outcome: Outcome) -> str:
    match outcome:
        case Sent():
            return "sent"
        case Deferred():
            return "deferred"
        case Refused():
            return "refused"
        case Unsure():
            return "unsure"
        case Released():
            return "released"
