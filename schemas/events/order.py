"""A shop's orders, from placed to delivered: their payments, refunds and disputes, the stock and the new customer."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field, StringConstraints

from schemas.catalogue import EventData, PersonId, Priority, Route

EmailAddress = Annotated[
    str,
    StringConstraints(max_length=320, pattern=r"^[^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+$"),
    Field(json_schema_extra={"format": "email"}),
]
"""An address by its outline only: it is told to people, not written to."""


class OrderCreated(
    EventData,
    type="order.created",
    category="order",
    routes=(
        Route("user", Priority.NORMAL, "inbox email"),
        Route("admins", Priority.NORMAL, "inbox"),
    ),
):
    """A customer placed an order; it may still have to be paid and confirmed."""

    user_id: PersonId
    order_code: str
    customer: str
    amount: Decimal
    currency: str


class OrderConfirmed(
    EventData,
    type="order.confirmed",
    category="order",
    routes=(Route("user", Priority.HIGH, "inbox email"),),
):
    """The shop accepted an order and will carry it out."""

    user_id: PersonId
    order_code: str


class OrderShipped(
    EventData,
    type="order.shipped",
    category="order",
    routes=(
        Route("user", Priority.HIGH, "inbox email whatsapp"),
        Route("admins", Priority.LOW, "inbox"),
    ),
):
    """An order was handed to the courier."""

    user_id: PersonId
    order_code: str
    courier: str
    tracking_number: str | None = None


class OrderDelivered(
    EventData,
    type="order.delivered",
    category="order",
    routes=(
        Route("user", Priority.NORMAL, "inbox email"),
        Route("admins", Priority.LOW, "inbox"),
    ),
):
    """An order reached the customer."""

    user_id: PersonId
    order_code: str


class OrderCancelled(
    EventData,
    type="order.cancelled",
    category="order",
    routes=(
        Route("user", Priority.HIGH, "inbox email"),
        Route("admins", Priority.NORMAL, "inbox"),
    ),
):
    """An admin called an order off; it will not be carried out."""

    user_id: PersonId
    order_code: str
    reason: str | None = None


class PaymentReceived(
    EventData,
    type="payment.received",
    category="order",
    routes=(
        Route("user", Priority.NORMAL, "inbox email"),
        Route("admins", Priority.NORMAL, "inbox"),
    ),
):
    """The payment of an order arrived; `method` is how it was paid, as people call it ("BCA Virtual Account")."""

    user_id: PersonId
    order_code: str
    method: str
    amount: Decimal
    currency: str


class PaymentExpired(
    EventData,
    type="payment.expired",
    category="order",
    routes=(
        Route("user", Priority.HIGH, "inbox email"),
        Route("admins", Priority.NORMAL, "inbox"),
    ),
):
    """An order was not paid in time and can no longer be paid."""

    user_id: PersonId
    order_code: str


class PaymentRecovered(
    EventData,
    type="payment.recovered",
    category="order",
    routes=(Route("admins", Priority.HIGH, "inbox"),),
):
    """The payment status of an order was wrong or stuck, and has been put right."""

    order_code: str


class RefundRequested(
    EventData,
    type="refund.requested",
    category="order",
    routes=(Route("admins", Priority.HIGH, "inbox email"),),
):
    """A customer asks for money back; an admin has to decide."""

    order_code: str
    amount: Decimal
    currency: str
    reason: str | None = None


class DisputeCreated(
    EventData,
    type="dispute.created",
    category="order",
    routes=(Route("admins", Priority.URGENT, "inbox email slack"),),
):
    """A customer contests an order; an admin has to answer."""

    dispute_code: str
    order_code: str


class StockLow(
    EventData,
    type="stock.low",
    category="order",
    routes=(Route("admins", Priority.HIGH, "inbox slack"),),
):
    """A product is about to sell out: `stock` items are left."""

    product_id: str
    product_name: str
    stock: int


class UserRegistered(
    EventData,
    type="user.registered",
    category="order",
    routes=(
        Route("user", Priority.NORMAL, "inbox email"),
        Route("admins", Priority.LOW, "inbox"),
    ),
):
    """Somebody made an account; the welcome goes to the addresses that `person.changed` gave, not to `email`."""

    user_id: PersonId
    name: str
    email: EmailAddress


class ShipmentUpdated(
    EventData,
    type="shipment.updated",
    category="order",
    routes=(
        Route("user", Priority.NORMAL, "inbox"),
        Route("admins", Priority.LOW, "inbox"),
    ),
    update_key="order_code",
):
    """The courier reports where a parcel is; `status` is shown as it stands ("Out for delivery")."""

    user_id: PersonId
    order_code: str
    status: str
    courier: str
