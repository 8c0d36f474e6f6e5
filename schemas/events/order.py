"""Orders on their way to the customer."""

from schemas.catalogue import EventData, PersonId, Priority, Route


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
