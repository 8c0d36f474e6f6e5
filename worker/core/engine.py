"""The template engine as texts get it: strict, fuelled, without globals, with the filters of one language.

The one place that makes an engine. Filters are total, so that no value and no surplus argument can stop a message;
what they write is `formats`' business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import minijinja
from minijinja._lowlevel import State

from worker.core import formats, moments

ESCAPED = ".escaped"
"""Templates whose names end so have their values escaped as HTML."""
NEED_PERSON = frozenset({"person", "date", "datetime", "days_until"})
NEED_EVENT = frozenset({"event", "days_until", "minutes_until"})
"""The words of tags that look something up of the person or the event."""

LookUp = Callable[[str], Any]
"""Answers the person or the event, by the name that texts know it by."""
Format = Callable[[object, object, LookUp, str], object]
"""Writes a value, with what stands in parentheses behind its filter ("" for nothing), in a language. Total."""
_NOTHING: Mapping[str, Any] = {}

FORMATS: Mapping[str, Format] = {
    "money": lambda amount, currency, _, language: formats.money(amount, currency, language),
    "number": lambda value, _, __, language: formats.number(value, language),
    "percent": lambda value, _, __, language: formats.percent(value, language),
    "bytes": lambda value, _, __, language: formats.size(value, language),
    "duration": lambda value, _, __, language: formats.duration(value, language),
    "date": lambda value, _, look_up, language: moments.day(value, look_up("person")["zone"], language),
    "datetime": lambda value, _, look_up, language: moments.moment(value, look_up("person")["zone"], language),
    "days_until": lambda value, _, look_up, __: moments.days_until(
        value, look_up("event")["time"], look_up("person")["zone"]
    ),
    "minutes_until": lambda value, _, look_up, __: moments.minutes_until(value, look_up("event")["time"]),
}
"""The filters that only write a value."""


def engine(language: str, fuel: int) -> minijinja.Environment:
    """An engine for one language, which gives up after so many instructions.

    One escaping serves three markups: Telegram reads the numeric entities that HTML escaping makes, and for mrkdwn
    `markup.finish` takes them back. An escaping or a finalizer written in Python would be called for every value.
    """
    environment = minijinja.Environment(
        fuel=fuel,
        undefined_behavior="strict",
        auto_escape_callback=lambda name: "html" if name.endswith(ESCAPED) else None,
    )
    for name in list(environment.globals):
        environment.remove_global(name)
    for name, filter_ in _filters(language).items():
        environment.add_filter(name, filter_)
    return environment


def _filter(name: str, language: str) -> Callable[..., object]:
    """A format as the engine calls it: it looks up the person's zone and the event's time at a use, and only then.

    An exception in here would leave the engine as it is, so surplus arguments are taken and not looked at.
    """
    write = FORMATS[name]

    @minijinja.pass_state
    def look_up(state: State, value: object, *_: object, **__: object) -> object:
        return write(value, "", state.lookup, language)

    if name in NEED_PERSON or name in NEED_EVENT:
        return look_up
    return lambda value, argument="", *_, **__: write(value, argument, _NOTHING.__getitem__, language)


def _filters(language: str) -> dict[str, Callable[..., object]]:
    return {
        **{name: _filter(name, language) for name in FORMATS},
        "plural": lambda count, one="", many=None, *_, **__: formats.plural(count, one, many),
        "default": lambda value, other="", *_, **__: other if value in ("", None) else value,
        "join": lambda values, separator="", *_, **__: formats.joined(values, separator),
    }
