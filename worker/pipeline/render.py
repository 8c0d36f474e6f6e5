"""Stage 6: a leased delivery becomes its channel's own message, or the reason it cannot. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple

import orjson

from schemas.catalogue import Catalogue, EventData, EventInfo
from worker.channels.base import PLAIN, Channel, Target, Trimmings
from worker.core.editions import Editions
from worker.core.message import EVENT_SPACE, derived
from worker.core.outcome import Deferred, Refused
from worker.core.template import DEFAULT_LOCALE, EventView, PersonView, TextKey, Unrenderable
from worker.ledger.deliveries import Leased

_LATER = timedelta(minutes=1)
_SOON = timedelta(seconds=1)
_BESIDE = ("icon", "image", "actor_name", "actor_avatar")


class Rendered(NamedTuple):
    """A channel's own message, or why there is none; and the version of the text it was rendered from, '' for none."""

    message: object | Refused | Deferred
    version: str = ""


def render(leased: Leased, catalogue: Catalogue, editions: Editions, channel: Channel[Any]) -> Rendered:
    """Say it for the person, in their language, in the words of its edition, and fit it to the channel.

    Deferred is an event type this process does not know: during a rolling upgrade another one will. And so is an
    edition that has to be prepared first.
    """
    info = catalogue.find(leased.event_type)
    if info is None:
        detail = f"{leased.event_type} is not in this process's catalogue"
        return Rendered(Deferred("type_unknown", detail, _LATER, costs_attempt=False))
    wording = editions.find(info.text_key, leased.route, leased.template_edition)
    if wording is None:
        detail = f"edition {leased.template_edition} is not loaded"
        return Rendered(Deferred("text_not_loaded", detail, _SOON, costs_attempt=False))
    locale = wording.texts.locale_for(info.text_key, leased.route, leased.locale or DEFAULT_LOCALE)
    version = wording.version(info.text_key, leased.route, locale, channel.name)
    if wording.problem:
        return Rendered(Refused("template_invalid", wording.problem, fault="ours"), version)
    values = {**_absent(info.model), **orjson.loads(leased.data)}
    key = TextKey(info.text_key, leased.route, locale)
    person = PersonView(leased.name, leased.locale or DEFAULT_LOCALE, leased.time_zone or "UTC")
    event = EventView(leased.event_type, leased.event_time)
    contents = wording.texts.render_all(
        key, channel.abilities.markups, channel.name, values=values, person=person, event=event
    )
    if isinstance(contents, Unrenderable):
        return Rendered(Refused(contents.reason, _failed(contents, version), fault="ours"), version)
    target = _target(leased, info, locale, values)
    return Rendered(channel.fit(contents, target), version)


def needs(leased: Leased, catalogue: Catalogue) -> tuple[str, str, int | None]:
    """Which wording a delivery is rendered from: its type as texts name it, its audience, its edition."""
    info = catalogue.find(leased.event_type)
    return info.text_key if info else "", leased.route, leased.template_edition


@cache
def _absent(model: type[EventData]) -> Mapping[str, None]:
    return dict.fromkeys(model.model_fields)


def _failed(content: Unrenderable, version: str) -> str:
    return f"{content.detail} (version {version})" if version else content.detail


def _target(leased: Leased, info: EventInfo, locale: str, values: Mapping[str, object]) -> Target:
    return Target(
        leased.id,
        leased.address,
        leased.name,
        leased.event_type,
        leased.created_at,
        leased.person_id,
        locale,
        info.category,
        info.critical,
        leased.route,
        _trimmings(values),
        derived(EVENT_SPACE, "\n".join((info.type, leased.person_id, leased.route, str(values[info.update_key]))))
        if info.update_key
        else None,
    )


def _trimmings(values: Mapping[str, object]) -> Trimmings:
    """Take what may be shown beside the words: by these names every event type that has it calls it."""
    if values.keys().isdisjoint(_BESIDE):
        return PLAIN
    return Trimmings(*(str(values.get(name) or "") for name in _BESIDE))
