"""The platform itself, for those who run it."""

from schemas.catalogue import EventData, Priority, Route


class SystemError(  # noqa: A001 - named after its event type, as every class here
    EventData,
    type="system.error",
    category="system",
    critical=True,
    routes=(Route("admins", Priority.URGENT, "inbox email slack telegram"),),
):
    """A service reports an error that an operator must see."""

    service: str
    error: str
    severity: str
    trace_id: str | None = None
