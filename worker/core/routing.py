"""Who an event is for: the audience of each route, before the ledger is asked who is in a role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from schemas.catalogue import EventInfo, Lane, Route
from worker.core.message import Event
from worker.core.plan import Facts, Person

ADMIN_ROLE = "admin"
NAMED_BY_ENVELOPE = "audience"
_RULES = {"user": "user_id", "admins": f"role:{ADMIN_ROLE}", "envelope": "user_ids"}


@dataclass(frozen=True, slots=True)
class Audience:
    """Persons by id and everybody with one of the roles. `named_by`: the field of the event that names the persons."""

    persons: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    named_by: str = ""


def audience_of(event: Event, route: Route) -> Audience:
    """Answer who the route is for. The event's own audience replaces that of the type's first route."""
    if event.persons is not None and event.roles is not None and route is event.info.routes[0]:
        return Audience(event.persons, event.roles, NAMED_BY_ENVELOPE)
    match route.audience:
        case "user":
            return Audience(persons=(getattr(event.payload, "user_id"),), named_by="user_id")  # noqa: B009 - the catalogue promises it
        case "admins":
            return Audience(roles=(ADMIN_ROLE,))
        case "envelope":
            return Audience(tuple(dict.fromkeys(getattr(event.payload, "user_ids", None) or ())), named_by="user_ids")
        case "followers" | "participants" | "everyone":
            return Audience()  # `unresolved` says so


def members(audience: Audience, people: Iterable[Person]) -> Iterator[tuple[str, str]]:
    """Answer who of these people has one of the audience's roles and is not named by it, and the rule that says so."""
    named, roles = set(audience.persons), set(audience.roles)
    for person in people:
        if person.id not in named and not roles.isdisjoint(person.roles):
            yield person.id, f"role:{min(roles & person.roles)}"


def is_crowded(event: Event, facts: Facts) -> bool:
    """Say whether a role of the event has more members than were read: then all its roles are told in slices."""
    if not facts.crowded:
        return False
    return any(not facts.crowded.isdisjoint(audience_of(event, route).roles) for route in event.info.routes)


def slice_lane(info: EventInfo) -> Lane:
    """Answer the lane that the slices of a large audience travel in: bulk, unless the type is urgent.

    One slice at a time stands in a queue, so it holds up nobody there; an alarm must not wait behind promotions.
    """
    return Lane.URGENT if info.lane is Lane.URGENT else Lane.BULK


@lru_cache(maxsize=4096)
def rules_of(routes: tuple[Route, ...], *, is_replaced: bool) -> str:
    """Write who each route of a type is for, in its order: `user=user_id admins=role:admin`.

    `is_replaced`: the event's own audience stands in the place of the first one's.
    """
    rules = [f"{route.audience}={_RULES.get(route.audience, NAMED_BY_ENVELOPE)}" for route in routes]
    if is_replaced:
        rules[0] = f"{routes[0].audience}={NAMED_BY_ENVELOPE}"
    return " ".join(rules)


def slices(events: Sequence[Event], facts: Facts, limit: int) -> Iterator[list[Event]]:
    """Cut a batch into slices of at most `limit` people; an event that concerns more is a slice of its own."""
    members = Counter(role for person in facts.people.values() for role in person.roles)
    part: list[Event] = []
    size = 0
    for event in events:
        audiences = [audience_of(event, route) for route in event.info.routes]
        reach = sum(len(one.persons) + sum(members[role] for role in one.roles) for one in audiences)
        if part and size + reach > limit:
            yield part
            part, size = [], 0
        part.append(event)
        size += reach
    if part:
        yield part


def unresolved(event: Event) -> str:
    """Answer the audience of the event's first route where only the producer can say who that is, and did not.

    Who follows a topic or sits in a room is not in the ledger: the event names them in its `audience`.
    """
    if not event.info.routes or event.persons is not None:
        return ""
    kind = event.info.routes[0].audience
    return kind if kind in {"followers", "participants", "everyone"} else ""
