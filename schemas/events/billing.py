"""Money: what was paid and what could not be."""

from decimal import Decimal

from pydantic import HttpUrl

from schemas.catalogue import EventData, PersonId, Priority, Route


class PaymentSuccess(
    EventData,
    type="payment.success",
    category="billing",
    routes=(Route("user", Priority.NORMAL, "inbox email"),),
):
    """A payment went through."""

    user_id: PersonId
    payment_id: str
    amount: Decimal
    currency: str
    order_code: str | None = None
    invoice_url: HttpUrl | None = None


class PaymentFailed(
    EventData,
    type="payment.failed",
    category="billing",
    critical=True,
    routes=(Route("user", Priority.HIGH, "inbox email telegram sms"),),
):
    """A payment could not be collected."""

    user_id: PersonId
    payment_id: str
    amount: Decimal
    currency: str
    reason: str
    retry_url: HttpUrl | None = None
