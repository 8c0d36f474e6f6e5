"""Money: what was paid, what is due, and how long a membership runs."""

from decimal import Decimal

from pydantic import AwareDatetime, HttpUrl

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


class PaymentCompleted(
    EventData,
    type="payment.completed",
    category="billing",
    routes=(Route("user", Priority.NORMAL, "inbox email"),),
):
    """A payment is settled in full, for the billing period that `period` names: nothing is left to pay."""

    user_id: PersonId
    payment_id: str
    amount: Decimal
    currency: str
    period: str | None = None


class PaymentReminder(
    EventData,
    type="payment.reminder",
    category="billing",
    routes=(Route("user", Priority.NORMAL, "inbox email whatsapp"),),
):
    """An order still waits for its payment, which is due at `due_at`."""

    user_id: PersonId
    order_code: str
    amount: Decimal
    currency: str
    due_at: AwareDatetime
    pay_url: HttpUrl | None = None


class SubscriptionActivated(
    EventData,
    type="subscription.activated",
    category="billing",
    routes=(Route("user", Priority.NORMAL, "inbox email"),),
):
    """A person's membership has begun, and renews at `renews_at` if it renews by itself."""

    user_id: PersonId
    subscription_id: str
    plan: str
    renews_at: AwareDatetime | None = None


class SubscriptionCancelled(
    EventData,
    type="subscription.cancelled",
    category="billing",
    routes=(Route("user", Priority.NORMAL, "inbox email"),),
):
    """A person's membership will not renew; it can be used until `ends_at`."""

    user_id: PersonId
    subscription_id: str
    plan: str
    ends_at: AwareDatetime


class SubscriptionExpiring(
    EventData,
    type="subscription.expiring",
    category="billing",
    routes=(Route("user", Priority.HIGH, "inbox email"),),
):
    """A person's membership ends at `expires_at` unless it is renewed before."""

    user_id: PersonId
    subscription_id: str
    plan: str
    expires_at: AwareDatetime
    renew_url: HttpUrl | None = None


class SubscriptionExpired(
    EventData,
    type="subscription.expired",
    category="billing",
    routes=(Route("user", Priority.HIGH, "inbox email"),),
):
    """A person's membership ended at `expired_at` without being renewed."""

    user_id: PersonId
    subscription_id: str
    plan: str
    expired_at: AwareDatetime
    renew_url: HttpUrl | None = None


class SubscriptionRenewed(
    EventData,
    type="subscription.renewed",
    category="billing",
    routes=(Route("user", Priority.NORMAL, "inbox email"),),
):
    """A person's membership was renewed; `renews_at` is the next renewal."""

    user_id: PersonId
    subscription_id: str
    plan: str
    renews_at: AwareDatetime
