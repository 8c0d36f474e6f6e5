"""A text made ready for the engine: once, when the texts are loaded. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import minijinja

from worker.core import limits
from worker.core.content import Markup
from worker.core.engine import ESCAPED, NEED_EVENT, NEED_PERSON
from worker.core.formatted import Writer, lifted
from worker.core.locales import language
from worker.core.text_source import Source, parse, place_of


@dataclass(frozen=True, slots=True)
class Compiled:
    """One text, ready: its template's name in each markup, and the payload fields it needs.

    `engines`: one for each of `limits.FUEL` where there is a loop, else one. `writers` as in `formatted`, `steps` as in
    `limits`. What no tag and no filter asks about the person or the event is not told to the engine.
    """

    path: str
    text: str
    engines: tuple[minijinja.Environment, ...]
    templates: dict[Markup, str]
    fields: tuple[str, ...]
    writers: dict[str, Writer]
    steps: int
    needs_person: bool
    needs_event: bool


def compile_text(source: Source, engines: tuple[minijinja.Environment, ...]) -> Compiled:
    """Parse a text for every markup. Raises `TemplateInvalid`."""
    parsed = parse(source)
    has_loop = limits.has_loop(source.text)
    may_lift = not has_loop and "|" in source.text
    if not has_loop:
        engines = engines[:1]
    templates = {}
    writers: dict[str, Writer] = {}
    for markup in Markup:
        name = "/".join([*place_of(source), "plain" if markup is Markup.PLAIN else f"{markup}{ESCAPED}"])
        written = parsed.engine_source(markup)
        if may_lift:
            written, found = lifted(written, parsed.fields, language(source.locale))
            writers |= found
        for each in engines:
            each.add_template(name, written)
        templates[markup] = name
    words = limits.words_of_tags(source.text)
    return Compiled(
        source.path,
        source.text,
        engines,
        templates,
        parsed.fields,
        writers,
        steps=len(words),
        needs_person=not NEED_PERSON.isdisjoint(words),
        needs_event=not NEED_EVENT.isdisjoint(words),
    )
