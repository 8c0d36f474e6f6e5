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
from worker.core.preferences import Wish, wish
from worker.core.routing import Audience, audience_of, is_crowded, members, rules_of, unresolved

DIRECTORY = "directory"
_CRITICAL = Wish(is_wanted=True, by="critical")


def decide(
    events: Sequence[Event], facts: Facts, channels: Mapping[str, ChannelRule], now: datetime
) -> list[Decision | Rejected]:
    """Decide each event, in order. `channels` are those this deployment has configured.

    Rejected is an event for people whom only its producer can name, and did not. Of one for a crowded role only those
    it names are decided: `decide_slice` decides the others.
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
    fan_out = is_crowded(event, facts)
    expires_at = event.expires_at or now + _life_of(event)
    notifications = tuple(
        _notify(event, route, person_id, rule, facts.people.get(person_id), expires_at, channels, now)
        for route in event.info.routes
        for person_id, rule in _told(audience_of(event, route), {} if fan_out else facts.people)
    )
    reason = "" if notifications or fan_out else "audience_empty"
    routes = rules_of(event.info.routes, is_replaced=event.persons is not None)
    return Decision(event, notifications, reason, fan_out, expires_at, routes)


def decide_slice(
    event: Event, people: Sequence[Person], channels: Mapping[str, ChannelRule], now: datetime
) -> Decision:
    """Decide for some of the members of the event's roles. Whoever it names was decided with the event itself."""
    expires_at = event.expires_at or now + _life_of(event)
    known = {person.id: person for person in people}
    notifications = tuple(
        _notify(event, route, person_id, rule, known[person_id], expires_at, channels, now)
        for route in event.info.routes
        for person_id, rule in members(audience_of(event, route), people)
    )
    return Decision(event, notifications, expires_at=expires_at)


def _life_of(event: Event) -> timedelta:
    days = getattr(event.payload, "expires_in_days", None)
    return timedelta(days=days) if days else event.info.expires


def _told(audience: Audience, people: Mapping[str, Person]) -> Iterator[tuple[str, str]]:
    """The audience's people, each once with the rule that says so: those named, known or not, then those in a role."""
    for person_id in audience.persons:
        yield person_id, audience.named_by
    if audience.roles:
        yield from members(audience, people.values())


def _notify(
    event: Event,
    route: Route,
    person_id: str,
    rule: str,
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
        for address, decision, by in _choose(event, person, channel, channels.get(channel), objections, priority):
            planned = PlannedDelivery(delivery_id(notification, channel, address), channel, address, decision, by)
            deliveries.append(planned)
    return PlannedNotification(notification, person_id, route.audience, expires_at, tuple(deliveries), rule)


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
) -> Iterator[tuple[str, Plan | Skip, str]]:
    """One plan or skip per address of the channel, and what let it be so; without an address where there is none."""
    if objections is not None or person is None:
        yield "", objections or Skip("person_unknown"), ""
        return
    if rule is None:
        yield "", Skip("channel_not_configured", f"{channel} is not among KABAR_CHANNELS"), ""
        return
    info = event.info
    is_wanted, by = _CRITICAL if info.critical else wish(person.preferences, event.type, info.category, channel)
    if not is_wanted:
        yield "", Skip("preference", by), by
        return
    plan = Plan(LANE_OF[priority], rule.attempt_limit, rule.policy(info))
    if not rule.needs_address:
        yield person.id, plan, by
        return
    addresses = [known for known in person.addresses if known.channel == channel]
    if not addresses:
        yield "", Skip("no_address", f"{channel} has no address for this person"), by
    for known in addresses:
        yield known.address, Skip("address_suppressed", known.suppressed) if known.suppressed else plan, by
