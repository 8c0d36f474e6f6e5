"""Strikes: a platform's warnings against a channel, and how they end."""

from pydantic import HttpUrl

from schemas.catalogue import EventData, PersonId, Priority, Route


class StrikeDetected(
    EventData,
    type="strike.detected",
    category="strike",
    critical=True,
    routes=(Route("user", Priority.URGENT, "inbox email telegram slack sms"),),
):
    """A platform gave a channel a strike; `url` is where its owner can read it and appeal."""

    user_id: PersonId
    strike_id: str
    channel: str
    reason: str
    url: HttpUrl | None = None


class StrikeResolved(
    EventData,
    type="strike.resolved",
    category="strike",
    routes=(Route("user", Priority.HIGH, "inbox email"),),
):
    """A strike is settled and asks nothing more of the channel's owner; `resolution` says how it was settled."""

    user_id: PersonId
    strike_id: str
    channel: str
    resolution: str
