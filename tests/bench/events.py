"""The event types of the measured job: one e-mail and one Slack message for one person, paced or at once."""

from __future__ import annotations

from decimal import Decimal

from schemas.catalogue import EventData, PersonId, Priority, Route


class BenchPaid(
    EventData,
    type="bench.paid",
    category="billing",
    routes=(Route("user", Priority.NORMAL, "email slack"),),
):
    """A payment arrived. `number` is the event's own, seven digits, which the sinks find again in each message."""

    user_id: PersonId
    number: str
    amount: Decimal
    currency: str
    plan: str
    paid_at: str
    invoice_url: str
    note: str | None = None


class BenchAlarm(
    EventData,
    type="bench.alarm",
    category="billing",
    routes=(Route("user", Priority.URGENT, "email slack"),),
):
    """The same, and more pressing than anything else."""

    user_id: PersonId
    number: str
    amount: Decimal
    currency: str
    plan: str
    paid_at: str
    invoice_url: str
    note: str | None = None
