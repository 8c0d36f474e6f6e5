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

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

import minijinja
from pydantic import JsonValue

from worker.core import limits
from worker.core.compiled import Compiled, compile_text
from worker.core.content import Content, Markup
from worker.core.engine import engine
from worker.core.formats import NO_BREAK
from worker.core.locales import language, normal
from worker.core.markup import FIELD_MARK, TAG, escape, finish, safe_url, unescape_quotes
from worker.core.text_source import Source, place_of
from worker.core.values import clean
from worker.errors import TemplateInvalid

DEFAULT_LOCALE = "en"
_GAPS = re.compile(rf"[^\S{NO_BREAK}]+")


class TextKey(NamedTuple):
    """Which text: the event's type (`custom` for every custom type), the route's name, a locale it exists in."""

    event_type: str
    audience: str
    locale: str


class PersonView(NamedTuple):
    """What a text may know of the person. `zone` is an IANA name; unknown ones count as UTC."""

    name: str
    locale: str
    zone: str


class EventView(NamedTuple):
    """What a text may know of the event's envelope. `time` is aware."""

    type: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Unrenderable:
    """Why there is no content. `detail` names the text and the variable, never a value."""

    reason: Literal[
        "text_missing", "variable_unknown", "context_too_large", "fuel_spent", "template_failed", "output_too_large"
    ]
    detail: str


class Texts:
    """All texts, compiled. Nothing changes after construction; safe to share between threads.

    Of two sources for one text the later holds. Raises `TemplateInvalid` for a source that is no valid text, and
    for texts that lack the default locale, or have a channel's own wording only.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        chosen = {place_of(source): source for source in sources}
        self._locales = _locales(chosen.values())
        languages = {language(source.locale) for source in chosen.values()}
        engines = {name: tuple(engine(name, fuel) for fuel in limits.FUEL) for name in languages}
        self._texts: dict[tuple[str, str, str, str], Compiled] = {
            place: compile_text(source, engines[language(source.locale)]) for place, source in chosen.items()
        }

    def has(self, event_type: str, audience: str) -> bool:
        """Is there a text for this audience of this event type?"""
        return (event_type, audience) in self._locales

    def locale_for(self, event_type: str, audience: str, wanted: str) -> str:
        """The locale to render in: the wanted one, else its language (`id` for `id-ID`), else the default."""
        known = self._locales.get((event_type, audience), {})
        return known.get(normal(wanted)) or known.get(language(wanted)) or DEFAULT_LOCALE

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
        """Say it in one markup; see `render_all`."""
        contents = self.render_all(key, (markup,), channel, values=values, person=person, event=event)
        return contents if isinstance(contents, Unrenderable) else contents[0]

    def render_all(
        self,
        key: TextKey,
        markups: Sequence[Markup],
        channel: str,
        *,
        values: Mapping[str, JsonValue],
        person: PersonView,
        event: EventView,
    ) -> tuple[Content, ...] | Unrenderable:
        """Say it in several markups, in the channel's own wording where there is one.

        `values` holds every field of the payload's model, absent optional ones as None: None is false in `{% if %}`
        and prints nothing. Money and moments read as in the text's language, moments in the person's zone.
        """
        compiled = self._find(key, channel)
        if compiled is None:
            return Unrenderable("text_missing", f"{key.event_type}/{key.audience}/{key.locale}")
        context, weight = _envelope(compiled, person, event), len(person.name)
        for field in compiled.fields:
            if field not in values:
                return Unrenderable("variable_unknown", f"{_line_of(compiled, field)}: {field}")
            value: object = values[field]
            if isinstance(value, str) and value.isprintable():  # as nearly all are
                weight += len(value)
            else:
                value = clean(value)
                weight += limits.weight(value)
            context[field] = value
        environment = _engine_for(compiled, context, len(person.name), weight)
        if isinstance(environment, Unrenderable):
            return environment
        for name, write in compiled.writers.items():
            context[name] = write(context)
        contents: list[Content] = []
        try:
            for markup in markups:
                rendered = environment.render_template(compiled.templates[markup], **context)
                if len(rendered) > limits.LONGEST_OUTPUT:
                    detail = f"{compiled.path}: {len(rendered)} characters, but the limit is {limits.LONGEST_OUTPUT}"
                    return Unrenderable("output_too_large", detail)
                contents.append(_content(rendered, markup, event.type))
        except minijinja.TemplateError as error:
            return _unrenderable(compiled, error)
        return tuple(contents)

    def _find(self, key: TextKey, channel: str) -> Compiled | None:
        locale = normal(key.locale)
        return self._texts.get((key.event_type, key.audience, locale, channel)) or self._texts.get(
            (key.event_type, key.audience, locale, "")
        )


def _envelope(compiled: Compiled, person: PersonView, event: EventView) -> dict[str, object]:
    context: dict[str, object] = {}
    if compiled.needs_person:
        context["person"] = {"name": clean(person.name), "locale": clean(person.locale), "zone": person.zone}
    if compiled.needs_event:
        context["event"] = {"type": clean(event.type), "time": event.time.isoformat()}
    return context


def _engine_for(
    compiled: Compiled, context: Mapping[str, object], name_length: int, weight: int
) -> minijinja.Environment | Unrenderable:
    """The engine whose fuel suits these values, or why there is none."""
    if weight > limits.HEAVIEST_CONTEXT:
        detail = f"{compiled.path}: the values it uses weigh {weight}, but the limit is {limits.HEAVIEST_CONTEXT}"
        return Unrenderable("context_too_large", detail)
    is_single = len(compiled.engines) == 1
    if is_single and limits.is_surely_little(compiled.steps, weight):
        return compiled.engines[0]
    cost = name_length + sum(limits.cost(context[field]) for field in compiled.fields)
    if not is_single:
        return compiled.engines[limits.fuel_for(cost + len(compiled.text))]
    if limits.is_too_much(compiled.steps, cost):
        return Unrenderable("fuel_spent", f"{compiled.path}: it uses large values too often")
    return compiled.engines[0]


def _content(rendered: str, markup: Markup, event_type: str) -> Content:
    """Take the fields apart. The link comes first and raw; the others are escaped already."""
    link, title, action, body = rendered.split(FIELD_MARK, 3)
    link = safe_url(link)
    return Content(
        _one_line(title, markup) or escape(event_type, markup),
        finish(body, markup),
        link,
        (_one_line(action, markup) or escape(link, markup)) if link else "",
    )


def _one_line(text: str, markup: Markup) -> str:
    line = _GAPS.sub(" ", text).strip() if NO_BREAK in text else " ".join(text.split())
    return unescape_quotes(line, markup)


def _unrenderable(compiled: Compiled, error: minijinja.TemplateError) -> Unrenderable:
    """Say what failed in the text's own words: the engine's message could quote a value."""
    start, end = error.range or (0, 0)
    place = (error.template_source or "").encode()[start:end].decode(errors="replace")
    path = _line_of(compiled, place)
    match error.kind:
        case "UndefinedError":
            return Unrenderable("variable_unknown", f"{path}: {place}")
        case "OutOfFuel":
            return Unrenderable("fuel_spent", f"{path}: {place}")
        case kind:
            return Unrenderable("template_failed", f"{path}: {kind} at {place}")


def _line_of(compiled: Compiled, words: str) -> str:
    """The text's path, and the first line whose tags have these words: what fails, fails where it first stands."""
    for number, line in enumerate(compiled.text.splitlines(), 1):
        if any(words in tag for tag in TAG.findall(line)):
            return f"{compiled.path}, line {number}"
    return compiled.path


def _locales(sources: Iterable[Source]) -> dict[tuple[str, str], dict[str, str]]:
    """The locales that each text exists in, by their normal form."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for source in sorted(sources, key=lambda source: source.channel):
        locales = found.setdefault((source.event_type, source.audience), {})
        if source.channel and normal(source.locale) not in locales:
            what = f"it is for {source.channel} only"
            raise TemplateInvalid(source.path, 1, what, f"write {source.locale}.txt for the others")
        locales.setdefault(normal(source.locale), source.locale)
    for (event_type, audience), locales in found.items():
        if DEFAULT_LOCALE not in locales:
            where = f"{event_type}/{audience}/{DEFAULT_LOCALE}.txt"
            raise TemplateInvalid(where, 1, "there is no such text", "write it: it serves every other locale")
    return found
