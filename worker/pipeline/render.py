"""Stage 6: a leased delivery becomes its channel's own message, or the reason it cannot. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson

from schemas.catalogue import Catalogue
from worker.channels.base import Channel, Target
from worker.core.content import Content
from worker.core.outcome import Deferred, Refused
from worker.core.template import DEFAULT_LOCALE, EventView, PersonView, TextKey, Texts, Unrenderable
from worker.ledger.deliveries import Leased

_LATER = timedelta(minutes=1)


def render(leased: Leased, catalogue: Catalogue, texts: Texts, channel: Channel[Any]) -> object | Refused | Deferred:
    """Say it for the person, in their language, and fit it to the channel. `object` is the channel's message type.

    Deferred is an event type this process does not know: during a rolling upgrade another one will.
    """
    info = catalogue.find(leased.event_type)
    if info is None:
        return Deferred(
            "type_unknown", f"{leased.event_type} is not in this process's catalogue", _LATER, costs_attempt=False
        )
    absent: Mapping[str, None] = dict.fromkeys(info.model.model_fields)
    values = {**absent, **orjson.loads(leased.data)}
    locale = texts.locale_for(info.text_key, leased.route, leased.locale or DEFAULT_LOCALE)
    key = TextKey(info.text_key, leased.route, locale)
    person = PersonView(leased.name, leased.locale or DEFAULT_LOCALE, leased.time_zone or "UTC")
    event = EventView(leased.event_type, leased.event_time)
    contents: list[Content] = []
    for markup in channel.abilities.markups:
        content = texts.render(key, markup, channel.name, values=values, person=person, event=event)
        if isinstance(content, Unrenderable):
            return Refused(content.reason, content.detail, fault="ours")
        contents.append(content)
    target = Target(leased.id, leased.address, leased.name, leased.event_type, leased.created_at)
    fitted: object = channel.fit(tuple(contents), target)
    return fitted
