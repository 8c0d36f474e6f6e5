"""A creator's channel: its comments, its audience, its income and its competitors."""

from typing import Annotated

from pydantic import HttpUrl, Strict

from schemas.catalogue import EventData, PersonId, Priority, Route


class CommentReceived(
    EventData,
    type="comment.received",
    category="channel",
    routes=(Route("user", Priority.LOW, "inbox"),),
):
    """Somebody commented on the person's channel."""

    user_id: PersonId
    comment_id: str
    author: str
    excerpt: str
    url: HttpUrl | None = None


class CommentModerationRequired(
    EventData,
    type="comment.moderation_required",
    category="channel",
    routes=(Route("user", Priority.HIGH, "inbox email"),),
):
    """A comment is held back, for the reason given, until the person approves or removes it."""

    user_id: PersonId
    comment_id: str
    author: str
    excerpt: str
    reason: str
    url: HttpUrl | None = None


class CompetitorUpdate(
    EventData,
    type="competitor.update",
    category="channel",
    routes=(Route("user", Priority.LOW, "inbox email"),),
):
    """A competitor that the person watches did something; `summary` says what, in one short sentence."""

    user_id: PersonId
    competitor: str
    summary: str
    url: HttpUrl | None = None


class ChannelSubscriberMilestone(
    EventData,
    type="channel.subscriber_milestone",
    category="channel",
    routes=(Route("user", Priority.NORMAL, "inbox email telegram"),),
):
    """A channel reached a round number of subscribers."""

    user_id: PersonId
    channel: str
    subscribers: int


class ChannelRevenueAlert(
    EventData,
    type="channel.revenue_alert",
    category="channel",
    routes=(Route("user", Priority.HIGH, "inbox email"),),
):
    """A channel's revenue moved by `change_percent` (-12.5 is a fall) over `period`, such as `last 7 days`."""

    user_id: PersonId
    channel: str
    change_percent: Annotated[float, Strict()]  # a number on the wire, never its text: the texts compare it with 0
    period: str
