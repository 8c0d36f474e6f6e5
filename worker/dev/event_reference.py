"""The readable reference of events, `docs/events.md`: what each means, its fields, who is told and how, and a sample.

Pure: a catalogue and samples in, a page out. What it says is the catalogue's; it decides only how it reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from itertools import groupby
from typing import Final

from pydantic import JsonValue

from schemas.catalogue import Catalogue, EventInfo, Route
from worker.core.fields import Field, fields_of

_PAGE: Final = """\
# Events

Every event type that Kabar knows by itself. Each is published to the exchange `kabar.events` with its type as routing
key; how is in the README, and the same for machines is in `schemas/generated/` (`asyncapi.json`, and a JSON Schema for
each type). A whole sample of each, as CloudEvent, is in `schemas/samples/`. A product adds types of its own as
[own-events.md](own-events.md) shows.

The channels are those a person is told on before preferences; one that a deployment does not have is skipped. Of the
priorities, *urgent* ignores quiet hours, and *low* travels in a lane of its own, behind everything else. A person
cannot switch off a *critical* type entirely. Fields marked † may be left out. Moments are RFC 3339 with an offset.

{contents}

{categories}
"""
_HEADINGS: Final = {
    "stream": "Live streams",
    "video": "Videos",
    "account": "Connected accounts",
    "strike": "Strikes",
    "billing": "Billing",
    "system": "System",
    "channel": "Channels",
    "order": "Orders",
    "promo": "Promotions",
    "music": "Music",
    "community": "Community",
    "custom": "In your own words",
    "directory": "The directory of people",
}
_KINDS: Final = {
    "text": "text",
    "url": "URL",
    "email": "e-mail address",
    "moment": "moment",
    "amount": "decimal, as text or number",
    "count": "whole number",
    "number": "number",
    "truth": "true or false",
    "choice": "one of",
    "list": "list of",
    "object": "object",
}


def event_reference(catalogue: Catalogue, samples: Mapping[str, JsonValue]) -> str:
    """Write the page. `samples`: a CloudEvent by the name of its event type."""
    by_category = [(name, list(infos)) for name, infos in groupby(catalogue, key=lambda info: info.category)]
    order = list(_HEADINGS)
    by_category.sort(key=lambda each: order.index(each[0]) if each[0] in order else len(order))
    contents = "\n".join(f"- **{_heading(name)}**: {', '.join(map(_link, infos))}" for name, infos in by_category)
    categories = "\n\n".join(_category(name, infos, samples) for name, infos in by_category)
    return _PAGE.format(contents=contents, categories=categories)


def _heading(category: str) -> str:
    return _HEADINGS.get(category, category)


def _link(info: EventInfo) -> str:
    # As GitHub names the anchor of a heading: what is no letter, digit, "-" or "_" is left out.
    anchor = info.type.replace(".", "").replace("*", "")
    return f"[{info.type.replace('*', chr(92) + '*')}](#{anchor})"


def _category(name: str, infos: list[EventInfo], samples: Mapping[str, JsonValue]) -> str:
    return "\n\n".join([f"## {_heading(name)}", *(_entry(info, samples[info.type]) for info in infos)])


def _entry(info: EventInfo, sample: JsonValue) -> str:
    parts = [f"### `{info.type}`", cleandoc(info.model.__doc__ or "")]
    if info.routes:
        keeping = f"The inbox keeps it for {_days(info)}."
        parts += ["\n".join(_routes(info)), f"Critical. {keeping}" if info.critical else keeping]
    else:
        parts.append("Nobody is told.")
    shown = sample["data"] if isinstance(sample, dict) else sample
    return "\n\n".join([*parts, "\n".join(_fields(info)), _block(shown)])


def _days(info: EventInfo) -> str:
    return "a day" if info.expires.days == 1 else f"{info.expires.days} days"


def _routes(info: EventInfo) -> Iterator[str]:
    yield "| who is told | priority | channels |"
    yield "| --- | --- | --- |"
    for route in info.routes:
        yield f"| {_audience(route, info)} | {route.priority} | {', '.join(route.channels)} |"


def _audience(route: Route, info: EventInfo) -> str:
    match route.audience:
        case "user":
            return "the person in `user_id`"
        case "admins":
            return "everyone with the role `admin`"
        case "followers":
            topic = route.topic.lower()
            return f"the followers of the {topic} in `{topic}_id`, as `audience` names them"
        case "participants":
            return "the other members of the room, as `audience` names them"
        case "everyone":
            return "everybody, as `audience` names them"
        case "envelope":
            named = "`user_ids` or " if "user_ids" in info.model.model_fields else ""
            return f"whom {named}the event's `audience` names"


def _fields(info: EventInfo) -> Iterator[str]:
    yield "| field | type |"
    yield "| --- | --- |"
    for field in fields_of(info):
        yield f"| `{field.name}`{' †' if field.is_optional else ''} | {_type(field)} |"


def _type(field: Field) -> str:
    if field.choices:
        return "one of " + ", ".join(f"`{choice}`" for choice in field.choices)
    if field.kind == "list":
        return f"list of {_KINDS[field.items or 'object']}"
    return _KINDS[field.kind]


def _block(sample: JsonValue) -> str:
    return f"```json\n{json.dumps(sample, indent=2, ensure_ascii=False)}\n```"
