"""What is to be said of an event and a person, as steps in the order of their times. No I/O: the ledger was read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from worker.commands.screen import moment, often
from worker.core.veil import mask_text
from worker.ledger.connection import Record
from worker.ledger.explanation import Acquaintance, Case, File

_EDITED = "dead_letter.edited"
_DEEDS = {
    "delivery.resent": "sent again by",
    "delivery.was_sent": "said to be sent by",
    "dead_letter.imported": "dead letter imported by",
    "dead_letter.replayed": "dead letter replayed by",
    "dead_letter.dropped": "dead letter dropped by",
    _EDITED: "payload mended by",
}


class Step(NamedTuple):
    """Something that happened, or was decided, at a stage. `at` None: no time of its own."""

    at: datetime | None
    stage: str
    says: str


def answer(file: File, event_id: str, person_id: str) -> str:
    """Answer in a sentence: was the person told, on what channels, or why not."""
    if not file.cases:
        return f"{person_id} was not told: the event {event_id} was rejected ({file.rejections[-1]['reason']})"
    told = [row for case in file.cases for row in case.deliveries]
    if told:
        return f"{person_id}: {', '.join(map(_state_of, told))}"
    if file.who.person is None:
        return f"{person_id} is not in the audience, and nobody of this id is known"
    return f"{person_id} is not in the audience"


def _state_of(delivery: Record) -> str:
    why = f" ({delivery['reason']})" if delivery["reason"] else ""
    return f"{delivery['channel']} {delivery['state']}{why}"


def tell_rejections(file: File) -> list[Step]:
    """Tell of the times the event was not taken in."""
    steps = []
    for letter in file.rejections:
        again = f", {often(letter['arrivals'])}" if letter["arrivals"] > 1 else ""
        field = f" at {letter['field']}" if letter["field"] else ""
        short = str(letter["id"])[:8]
        says = (
            f"rejected{again}: {letter['reason']}{field}: {letter['remedy']} (dead letter {short}, {letter['state']})"
        )
        steps.append(Step(letter["created_at"], letter["stage"], says))
        steps += tell_deeds(file.deeds, letter["id"])
        if letter["state"] == "open":
            steps.append(Step(None, "next", f"an operator decides: kabar dead show {short}"))
    return in_order(steps)


def tell_event(case: Case, file: File, person_id: str) -> list[Step]:
    """Tell of the event itself: its arrival, and which of its routes were for the person."""
    event = case.event
    says = (
        f"received: {event['type']}, version {event['version']}, from {event['source']}, made {moment(event['time'])}"
    )
    steps = [Step(event["received_at"], "accept", says)]
    if event["repeats"]:
        says = f"arrived again {often(event['repeats'])}: duplicates of itself, which changed nothing"
        steps.append(Step(None, "accept", says))
    for other in file.cases:
        if other is not case:
            says = f"the same id came from {other.event['source']!r} too: another event, told of by itself"
            steps.append(Step(other.event["received_at"], "accept", says))
    if event["reason"] == "directory":
        steps.append(Step(None, "decide", "it changed the people directory; nobody is told of that"))
    else:
        steps += [Step(None, "decide", says) for says in _routes(case, file.who, person_id)]
    if event["reason"] == "audience_empty":
        steps.append(Step(None, "decide", "nobody at all was in its audience"))
    if case.fan_out is not None:
        steps.append(_large_audience(case.fan_out))
    return steps


def _large_audience(fan_out: Record) -> Step:
    people = f"the audience is large and told in slices, in the order of the people's ids: {fan_out['people']:,} so far"
    if fan_out["finished_at"]:
        return Step(fan_out["finished_at"], "dispatch", people.replace("so far", "in all"))
    return Step(None, "next", f"{people}, up to {fan_out['cursor']!r}")


def _routes(case: Case, who: Acquaintance, person_id: str) -> Iterator[str]:
    matched = {row["route"]: row["rule"] for row in case.notifications}
    if case.event["routes"] is None:
        yield "its routes were not written down: a worker of an older version decided it"
    rules = dict(part.partition("=")[::2] for part in (case.event["routes"] or "").split())
    for route in {**rules, **matched}:
        rule = rules.get(route) or matched.get(route) or ""
        told = _rule(rule, case.event["audience"])
        if route in matched:
            by = f", as {_rule(matched[route], None)}" if rule == "audience" and matched[route] != rule else ""
            yield f"route {route} told {told}: {person_id} was in it{by}"
        else:
            yield f"route {route} told {told}: {person_id} was not in it{_role_since(rule, who)}"


def _rule(rule: str, audience: str | None) -> str:
    kind, _, role = rule.partition(":")
    match kind:
        case "role":
            return f"everybody with the role {role}"
        case "audience":
            return f"whom the event's own audience names ({audience})" if audience else "named by the event's audience"
        case "user_id" | "user_ids":
            return f"whom {kind} in the event's data names"
        case _:
            return "whom nobody wrote down"


def _role_since(rule: str, who: Acquaintance) -> str:
    kind, _, role = rule.partition(":")
    if kind == "role" and who.person is not None and role in who.person["roles"]:
        return f"; since changed: has the role now, changed {moment(who.person['changed_at'])}"
    return ""


def tell_deeds(deeds: Sequence[Record], *subjects: UUID) -> Iterator[Step]:
    """Tell what operators did with these deliveries and letters. What an edit changed is the letter's to show."""
    wanted = {str(subject) for subject in subjects}
    for row in deeds:
        if row["subject"] in wanted:
            # What was changed may be private: whoever wants it asks `kabar dead show`.
            detail = f": {mask_text(row['detail'])}" if row["detail"] and row["action"] != _EDITED else ""
            yield Step(row["at"], "operator", f"{_DEEDS.get(row['action'], row['action'])} {row['actor']}{detail}")


def in_order(steps: Sequence[Step]) -> list[Step]:
    """Sort by time; what has none stays behind what it came after."""
    placed: list[tuple[float, Step]] = []
    for step in steps:
        at = step.at.timestamp() if step.at else placed[-1][0] if placed else 0.0
        placed.append((at, step))
    return [step for _, step in sorted(placed, key=lambda one: one[0])]
