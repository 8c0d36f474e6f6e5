"""Stage 3: from an event and the facts to plans and skips, each with its reason. Pure.

Everybody in a route's audience gets a notification; every channel of the route gets a plan or a skip. What is not
sent has a row that says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from schemas.catalogue import LANE_OF, Priority, Route
from worker.core.message import Event, Rejected
from worker.core.plan import (
    ChannelRule,
    Decision,
    Facts,
    Person,
    Plan,
    PlannedDelivery,
    PlannedNotification,
    Skip,
    delivery_id,
    notification_id,
)
from worker.core.preferences import objection
from worker.core.routing import audience_of, unresolved

DIRECTORY = "directory"


def decide(
    events: Sequence[Event], facts: Facts, channels: Mapping[str, ChannelRule], now: datetime
) -> list[Decision | Rejected]:
    """Decide each event, in order. `channels` are those this deployment has configured.

    Rejected is an event for a role with more members than one event can reach.
    """
    return [_decide_one(event, facts, channels, now) for event in events]


def _decide_one(event: Event, facts: Facts, channels: Mapping[str, ChannelRule], now: datetime) -> Decision | Rejected:
    if not event.info.routes:
        return Decision(event, (), DIRECTORY)
    kind = unresolved(event)
    if kind:
        return Rejected(
            "audience_needed", "audience", f"name the {kind} in `audience`, as user:… or role:…",
            event.id, event.type,
        )  # fmt: skip
    crowded = _crowded_role(event, facts)
    if crowded:
        return Rejected(
            "audience_too_large", "audience", f"the role {crowded!r} has too many members for one event",
            event.id, event.type,
        )  # fmt: skip
    expires_at = event.expires_at or now + _life_of(event)
    notifications = tuple(
        _notify(event, route, person_id, facts.people.get(person_id), expires_at, channels, now)
        for route in event.info.routes
        for person_id in _members(event, route, facts)
    )
    return Decision(event, notifications, "" if notifications else "audience_empty")


def _crowded_role(event: Event, facts: Facts) -> str:
    if not facts.crowded:
        return ""
    roles = (role for route in event.info.routes for role in audience_of(event, route).roles)
    return next((role for role in roles if role in facts.crowded), "")


def _life_of(event: Event) -> timedelta:
    days = getattr(event.payload, "expires_in_days", None)
    return timedelta(days=days) if days else event.info.expires


def _members(event: Event, route: Route, facts: Facts) -> Iterator[str]:
    """The route's people, each once: those named, known or not, then those in a role."""
    audience = audience_of(event, route)
    yield from audience.persons
    if audience.roles:
        named, roles = set(audience.persons), set(audience.roles)
        for person in facts.people.values():
            if person.id not in named and not roles.isdisjoint(person.roles):
                yield person.id


def _notify(
    event: Event,
    route: Route,
    person_id: str,
    person: Person | None,
    expires_at: datetime,
    channels: Mapping[str, ChannelRule],
    now: datetime,
) -> PlannedNotification:
    notification = notification_id(event.key, person_id, route.audience)
    objections = _objection_to_all(event, person_id, person, expires_at, now)
    priority = event.priority or getattr(event.payload, "priority", None) or route.priority
    deliveries: list[PlannedDelivery] = []
    for channel in route.channels:
        for address, decision in _choose(event, person, channel, channels.get(channel), objections, priority):
            deliveries.append(PlannedDelivery(delivery_id(notification, channel, address), channel, address, decision))
    return PlannedNotification(notification, person_id, route.audience, expires_at, tuple(deliveries))


def _objection_to_all(
    event: Event, person_id: str, person: Person | None, expires_at: datetime, now: datetime
) -> Skip | None:
    if person is None:
        return Skip("person_unknown", "publish person.changed, or import the person")
    if event.actor == person_id:
        return Skip("actor", "who caused the event is not told of it")
    if expires_at <= now:
        return Skip("expired", f"expired at {expires_at.isoformat(timespec='seconds')}")
    return None


def _choose(
    event: Event,
    person: Person | None,
    channel: str,
    rule: ChannelRule | None,
    objections: Skip | None,
    priority: Priority,
) -> Iterator[tuple[str, Plan | Skip]]:
    """One plan or skip per address of the channel; a skip without an address where there is none."""
    if objections is not None or person is None:
        yield "", objections or Skip("person_unknown")
        return
    if rule is None:
        yield "", Skip("channel_not_configured", f"{channel} is not among KABAR_CHANNELS")
        return
    against = "" if event.info.critical else objection(person.preferences, event.type, event.info.category, channel)
    if against:
        yield "", Skip("preference", against)
        return
    plan = Plan(LANE_OF[priority], rule.attempt_limit, rule.on_unsure)
    if not rule.needs_address:
        yield person.id, plan
        return
    addresses = [known for known in person.addresses if known.channel == channel]
    if not addresses:
        yield "", Skip("no_address", f"{channel} has no address for this person")
    for known in addresses:
        yield known.address, Skip("address_suppressed", known.suppressed) if known.suppressed else plan
