"""Live streams: begun, faltering, broken off, back, over."""

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


class StreamEnded(
    EventData,
    type="stream.ended",
    category="stream",
    routes=(Route("user", Priority.NORMAL, "inbox"),),
):
    """A stream was ended on purpose, by the streamer or at its planned end."""

    user_id: PersonId
    stream_id: str
    title: str
    duration_seconds: int | None = None
    peak_viewers: int | None = None


class StreamHealthDegraded(
    EventData,
    type="stream.health_degraded",
    category="stream",
    routes=(Route("user", Priority.HIGH, "inbox telegram slack"),),
):
    """A stream is still on air, but arrives too badly to be watched well; `reason` is a sentence for the streamer."""

    user_id: PersonId
    stream_id: str
    title: str
    reason: str
    bitrate_kbps: int | None = None


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


class StreamReconnected(
    EventData,
    type="stream.reconnected",
    category="stream",
    routes=(Route("user", Priority.HIGH, "inbox telegram slack"),),
):
    """A stream that had lost its connection is on the air again."""

    user_id: PersonId
    stream_id: str
    title: str
    downtime_seconds: int | None = None
