"""The checks of `kabar audit`: the ledger by itself, the broker's queues, and the one against the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from schemas.catalogue import Lane
from worker.broker.inspection import Inspection, inspect
from worker.broker.topology import DEAD_DELIVER, DEAD_INTAKE, deliver_queue, topology
from worker.commands.session import open_ledger
from worker.deployment import build_catalogue
from worker.errors import ServiceUnavailable
from worker.ledger.audit import Findings, Flaw, audit, queued
from worker.ledger.connection import Record
from worker.settings import Settings

PROMISES: Final = {
    "event_ends": "every event has notifications, or a reason why not",
    "notification_ends": "every notification has a delivery or a skip on each channel",
    "told_once": "nobody has the same notification or delivery twice",
    "rows_agree": "every delivery belongs to its notification, event and person",
    "no_orphans": "no row outlives what it belongs to",
    "leases_end": "no lease is over a minute past its time",
    "waiting_ends": "nothing waits over 90 seconds past its time",
    "queued_moves": "what is ready has its job in a queue",
    "attempt_limit": "no attempt beyond the limit",
    "attempts_kept": "every attempt that failed is written down",
    "resends_counted": "nothing is sent again but by policy or an operator's word, and it is counted",
    "not_too_late": "nothing is sent after its expiry",
    "not_suppressed": "nothing is sent to an address that is off, or to somebody who is gone",
    "has_reason": "what was not sent says why",
    "inbox_shows": "the inbox shows what was sent there, and nothing else",
    "dead_has_letter": "every dead delivery has a dead letter",
    "letter_has_dead": "every open dead letter has its dead delivery",
    "replay_arrives": "every replayed event has arrived",
    "queues": "the broker has every queue and exchange, with the right arguments",
    "consumers": "every queue has a consumer",
}
"""The checks, in the order of their telling."""
BEYOND: Final = {
    "confirmed by the broker, and never in the ledger": "only the producer knows of it: compare with its outbox",
    "sent after an opt-out": "a preference has its producer's time and not that of its commit; the lease looks again",
    "a message that a provider took twice": "providers keep those books; resends are what the ledger knows of it",
    "one channel holds up another": "that is seen in the metrics: kabar_oldest_waiting_seconds by channel",
}
"""What rows cannot tell, and why, or who can."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, and how long it took. `skipped`: checks that were not made, and why."""

    since: datetime | None
    findings: Findings
    skipped: Mapping[str, str]
    notes: tuple[str, ...]
    seconds: float

    @property
    def is_well(self) -> bool:
        """Nothing that was looked at is broken."""
        return not self.findings.broken.total()


async def examine(settings: Settings, since: datetime | None, limit: int) -> Report:
    """Check the ledger and the broker. A broker that does not answer is itself found broken."""
    began = datetime.now(UTC)
    async with open_ledger(settings) as ledger:
        findings = await audit(ledger, since, limit)
        skipped = {"no_orphans": "rows without their event cannot be found by time"} if since else {}
        try:
            found = await inspect(settings.amqp_urls, topology(build_catalogue(settings), settings.channels))
        except ServiceUnavailable as error:
            findings.add(Flaw("queues", "broker", str(error)))
            notes: tuple[str, ...] = ()
            skipped |= dict.fromkeys(("consumers", "queued_moves"), "the broker does not answer")
        else:
            _look_at_queues(findings, found)
            notes = _compare(findings, found, await queued(ledger))
    return Report(since, findings, skipped, notes, (datetime.now(UTC) - began).total_seconds())


def _look_at_queues(findings: Findings, found: Inspection) -> None:
    findings.look("queues", len(found.depths) + len(found.missing))
    for name in found.missing:
        findings.add(Flaw("queues", name, "is missing: start a worker once, it declares all of them"))
    for name in found.different:
        findings.add(Flaw("queues", name, "has other arguments: drain it, delete it, start a worker"))
    findings.look("consumers", len(found.consumers))
    for name, consumers in found.consumers.items():
        if not consumers:
            findings.add(Flaw("consumers", name, f"nobody takes from it; {found.depths[name]:,} messages wait"))


def _compare(findings: Findings, found: Inspection, rows: Sequence[Record]) -> tuple[str, ...]:
    """Compare what the ledger calls ready with what waits in the queues; answers what is worth knowing of both."""
    notes = []
    for row in rows:
        queue = deliver_queue(row["channel"], Lane(row["lane"]))
        depth = found.depths.get(queue)
        findings.look("queued_moves", row["queued"])
        lost = row["passed"] if depth else row["late"]
        if lost:
            where = "the couriers are past their place in the queue"
            if not depth:
                where = "there is no such queue" if depth is None else "the queue is empty"
            findings.add(Flaw("queued_moves", queue, f"{lost:,} deliveries are ready and overdue, and {where}"))
        elif row["queued"]:
            notes.append(f"{queue}: {row['queued']:,} deliveries ready in the ledger, {depth or 0:,} jobs in the queue")
    notes += [
        f"{queue}: {found.depths[queue]:,} messages wait to be taken into the ledger"
        for queue in (DEAD_INTAKE, DEAD_DELIVER)
        if found.depths.get(queue)
    ]
    return tuple(notes)
