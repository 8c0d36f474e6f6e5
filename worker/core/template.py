"""Texts: what an event says to an audience, in a language, in every medium's markup. Pure: sources in, contents out.

    title: Payment of {{ amount|money(currency) }} failed
    link: {{ retry_url }}
    action: Try again

    Hi {{ person.name }}, we could not collect **{{ amount|money(currency) }}**: {{ reason }}.

Variables are the payload's fields by their names, `person.name`, `person.locale`, `person.zone`, `event.type` and
`event.time`; statements and filters are listed in `text_source`, the body's markup in `markup`.

Everything is parsed once, when the texts are loaded; a render is one call into minijinja for all of a text's fields.
Values are cleaned of control characters first, so that none can forge a field, and are escaped by the engine, so
that none is markup. Knows nothing of channels but their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import minijinja
from minijinja._lowlevel import State
from pydantic import JsonValue

from worker.core.content import Content, Markup
from worker.core.formats import moment, money
from worker.core.markup import FIELD_MARK, escape, finish, safe_url, unescape_quotes
from worker.core.text_source import UNWANTED, Source, parse
from worker.errors import TemplateInvalid

DEFAULT_LOCALE = "en"
_FUEL = 20_000
_DEEPEST = 8
_WIDEST_INTEGER = 2**63


@dataclass(frozen=True, slots=True)
class TextKey:
    """Which text: the event's type (`custom` for every custom type), the route's name, a locale it exists in."""

    event_type: str
    audience: str
    locale: str


@dataclass(frozen=True, slots=True)
class PersonView:
    """What a text may know of the person. `zone` is an IANA name; unknown ones count as UTC."""

    name: str
    locale: str
    zone: str


@dataclass(frozen=True, slots=True)
class EventView:
    """What a text may know of the event's envelope. `time` is aware."""

    type: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Unrenderable:
    """Why there is no content. `detail` names the text and the variable, never a value."""

    reason: Literal["text_missing", "variable_unknown", "fuel_spent", "template_failed"]
    detail: str


@dataclass(frozen=True, slots=True)
class _Compiled:
    """One text, ready: its engine, its template's name in each markup, and the payload fields it needs."""

    path: str
    environment: minijinja.Environment
    templates: dict[Markup, str]
    fields: tuple[str, ...]


class Texts:
    """All texts, compiled. Nothing changes after construction; safe to share between threads.

    Of two sources for one text the later holds. Raises `TemplateInvalid` for a source that is no valid text, and
    for texts that lack the default locale, or have a channel's own wording only.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        chosen = {_place(source): source for source in sources}
        self._locales = _locales(chosen.values())
        languages = {_language(source.locale) for source in chosen.values()}
        environments = {language: _environment(language) for language in languages}
        self._texts = {
            place: _compile(source, environments[_language(source.locale)]) for place, source in chosen.items()
        }

    def has(self, event_type: str, audience: str) -> bool:
        """Is there a text for this audience of this event type?"""
        return (event_type, audience) in self._locales

    def locale_for(self, event_type: str, audience: str, wanted: str) -> str:
        """The locale to render in: the wanted one, else its language (`id` for `id-ID`), else the default."""
        known = self._locales.get((event_type, audience), {})
        return known.get(_normal(wanted)) or known.get(_language(wanted)) or DEFAULT_LOCALE

    def fields(self, event_type: str, audience: str) -> frozenset[str]:
        """Every payload field that the texts for this audience use, in any locale and on any channel."""
        return frozenset(
            field
            for place, compiled in self._texts.items()
            if place[:2] == (event_type, audience)
            for field in compiled.fields
        )

    def render(
        self,
        key: TextKey,
        markup: Markup,
        channel: str,
        *,
        values: Mapping[str, JsonValue],
        person: PersonView,
        event: EventView,
    ) -> Content | Unrenderable:
        """Say it in one markup, in the channel's own wording where there is one.

        `values` holds every field of the payload's model, absent optional ones as None: None is false in `{% if %}`
        and prints nothing. Money and moments read as in the text's language, moments in the person's zone.
        """
        compiled = self._find(key, channel)
        if compiled is None:
            return Unrenderable("text_missing", f"{key.event_type}/{key.audience}/{key.locale}")
        context = _envelope(person, event)
        for field in compiled.fields:
            if field not in values:
                return Unrenderable("variable_unknown", f"{compiled.path}: {field}")
            context[field] = _clean(values[field])
        try:
            rendered = compiled.environment.render_template(compiled.templates[markup], **context)
        except minijinja.TemplateError as error:
            return _unrenderable(compiled.path, error)
        return _content(rendered, markup, event.type)

    def _find(self, key: TextKey, channel: str) -> _Compiled | None:
        locale = _normal(key.locale)
        return self._texts.get((key.event_type, key.audience, locale, channel)) or self._texts.get(
            (key.event_type, key.audience, locale, "")
        )


def _envelope(person: PersonView, event: EventView) -> dict[str, object]:
    return {
        "person": {"name": _clean(person.name), "locale": _clean(person.locale), "zone": person.zone},
        "event": {"type": _clean(event.type), "time": event.time.isoformat()},
    }


def _clean(value: object, depth: int = 0) -> object:
    """A value as plain data that no medium trips over. None becomes "", and so does what is nested absurdly deep.

    An unwanted character becomes a space rather than nothing: a URL that holds one must not become a valid URL.
    """
    if isinstance(value, str):
        return value if value.isprintable() else _clean_text(value)
    if value is None or depth > _DEEPEST:
        return ""
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < _WIDEST_INTEGER):
        return value
    if isinstance(value, Mapping):
        return {_clean_text(str(key)): _clean(item, depth + 1) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_clean(item, depth + 1) for item in value]
    return _clean_text(str(value))


def _clean_text(text: str) -> str:
    return UNWANTED.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))


def _content(rendered: str, markup: Markup, event_type: str) -> Content:
    """Take the fields apart. The link comes first and raw; the others are escaped already."""
    link, title, action, body = rendered.split(FIELD_MARK, 3)
    link = safe_url(link)
    return Content(
        title=_one_line(title, markup) or escape(event_type, markup),
        body=finish(body, markup),
        link=link,
        action=(_one_line(action, markup) or escape(link, markup)) if link else "",
    )


def _one_line(text: str, markup: Markup) -> str:
    return unescape_quotes(" ".join(text.split()), markup)


def _unrenderable(path: str, error: minijinja.TemplateError) -> Unrenderable:
    """Say what failed in the text's own words: the engine's message could quote a value."""
    start, end = error.range or (0, 0)
    place = (error.template_source or "").encode()[start:end].decode(errors="replace")
    match error.kind:
        case "UndefinedError":
            return Unrenderable("variable_unknown", f"{path}: {place}")
        case "OutOfFuel":
            return Unrenderable("fuel_spent", f"{path}: {place}")
        case kind:
            return Unrenderable("template_failed", f"{path}: {kind} at {place}")


def _compile(source: Source, environment: minijinja.Environment) -> _Compiled:
    parsed = parse(source)
    templates = {}
    for markup in Markup:
        name = "/".join([*_place(source), "plain" if markup is Markup.PLAIN else f"{markup}.escaped"])
        environment.add_template(name, parsed.engine_source(markup))
        templates[markup] = name
    return _Compiled(source.path, environment, templates, parsed.fields)


def _environment(language: str) -> minijinja.Environment:
    """An engine for one language. The end of a template's name says whether its values are escaped.

    One escaping serves three markups: Telegram reads the numeric entities that HTML escaping makes, and for mrkdwn
    `finish` takes them back. An escaping or a finalizer written in Python would be called for every value.
    """
    environment = minijinja.Environment(
        fuel=_FUEL,
        undefined_behavior="strict",
        auto_escape_callback=lambda name: "html" if name.endswith(".escaped") else None,
    )
    for name in list(environment.globals):
        environment.remove_global(name)

    def money_filter(amount: object, currency: object = "") -> str:
        return money(amount, currency, language)

    @minijinja.pass_state
    def datetime_filter(state: State, value: object) -> str:
        return moment(value, state.lookup("person")["zone"], language)

    environment.add_filter("money", money_filter)
    environment.add_filter("datetime", datetime_filter)
    environment.add_filter("default", lambda value, other="": other if value in ("", None) else value)
    return environment


def _place(source: Source) -> tuple[str, str, str, str]:
    return source.event_type, source.audience, _normal(source.locale), source.channel


def _normal(locale: str) -> str:
    return locale.replace("_", "-").lower()


def _language(locale: str) -> str:
    return _normal(locale).partition("-")[0]


def _locales(sources: Iterable[Source]) -> dict[tuple[str, str], dict[str, str]]:
    """The locales that each text exists in, by their normal form."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for source in sorted(sources, key=lambda source: source.channel):
        locales = found.setdefault((source.event_type, source.audience), {})
        if source.channel and _normal(source.locale) not in locales:
            what = f"it is for {source.channel} only"
            raise TemplateInvalid(source.path, 1, what, f"write {source.locale}.txt for the others")
        locales.setdefault(_normal(source.locale), source.locale)
    for (event_type, audience), locales in found.items():
        if DEFAULT_LOCALE not in locales:
            where = f"{event_type}/{audience}/{DEFAULT_LOCALE}.txt"
            raise TemplateInvalid(where, 1, "there is no such text", "write it: it serves every other locale")
    return found
