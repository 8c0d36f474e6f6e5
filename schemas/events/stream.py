"""Live streams: begun, broken off."""

from pydantic import HttpUrl

from schemas.catalogue import EventData, PersonId, Priority, Route


class StreamStarted(
    EventData,
    type="stream.started",
    category="stream",
    routes=(Route("user", Priority.NORMAL, "inbox email telegram"),),
):
    """A stream went live."""

    user_id: PersonId
    stream_id: str
    title: str
    url: HttpUrl | None = None


class StreamDisconnected(
    EventData,
    type="stream.disconnected",
    category="stream",
    routes=(Route("user", Priority.URGENT, "inbox email telegram slack sms"),),
):
    """A stream lost its connection and is off the air."""

    user_id: PersonId
    stream_id: str
    title: str
    reason: str | None = None
