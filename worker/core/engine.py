"""The template engine as texts get it: strict, fuelled, without globals, with the filters of one language.

The one place that makes an engine. Filters are total, so that no value and no surplus argument can stop a message;
what they write is `formats`' business.
"""

from __future__ import annotations

from collections.abc import Callable

import minijinja
from minijinja._lowlevel import State

from worker.core import formats

ESCAPED = ".escaped"
"""Templates whose names end so have their values escaped as HTML."""
NEED_PERSON = frozenset({"person", "date", "datetime", "days_until"})
NEED_EVENT = frozenset({"event", "days_until", "minutes_until"})
"""The words of tags that look something up of the person or the event."""


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


def _filters(language: str) -> dict[str, Callable[..., object]]:
    """What writes in a language, and what looks up the person's zone or the event's time: at a use, and only then.

    An exception in here would leave the engine as it is, so surplus arguments are taken and not looked at.
    """

    @minijinja.pass_state
    def day(state: State, value: object, *_: object, **__: object) -> str:
        return formats.day(value, state.lookup("person")["zone"], language)

    @minijinja.pass_state
    def moment(state: State, value: object, *_: object, **__: object) -> str:
        return formats.moment(value, state.lookup("person")["zone"], language)

    @minijinja.pass_state
    def days_until(state: State, value: object, *_: object, **__: object) -> int | str:
        return formats.days_until(value, state.lookup("event")["time"], state.lookup("person")["zone"])

    @minijinja.pass_state
    def minutes_until(state: State, value: object, *_: object, **__: object) -> int | str:
        return formats.minutes_until(value, state.lookup("event")["time"])

    return {
        "money": lambda amount, currency="", *_, **__: formats.money(amount, currency, language),
        "number": lambda value, *_, **__: formats.number(value, language),
        "percent": lambda value, *_, **__: formats.percent(value, language),
        "bytes": lambda value, *_, **__: formats.size(value, language),
        "duration": lambda value, *_, **__: formats.duration(value, language),
        "date": day,
        "datetime": moment,
        "days_until": days_until,
        "minutes_until": minutes_until,
        "plural": lambda count, one="", many=None, *_, **__: formats.plural(count, one, many),
        "default": lambda value, other="", *_, **__: other if value in ("", None) else value,
        "join": lambda values, separator="", *_, **__: formats.joined(values, separator),
    }
