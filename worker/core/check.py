"""`kabar check`: texts against the events they are for, as a compiler would read them. Pure: sources in, findings out.

What one text's tags get wrong is `check_tags`'s business, what is too long for a medium `check_sizes`'s; here is what
a text's place, form and markup get wrong, and which texts are missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from schemas.catalogue import Catalogue, EventInfo
from worker.core.check_sizes import flaws_in_sizes
from worker.core.check_tags import Flaw, flaws_in_tags
from worker.core.content import Markup
from worker.core.fields import Field, fields_of
from worker.core.locales import normal
from worker.core.markup import TAG
from worker.core.template import DEFAULT_LOCALE, Texts
from worker.core.text_source import Parsed, Source, parse
from worker.errors import TemplateInvalid

_VALUE = "\N{REPLACEMENT CHARACTER}"
# As in `markup`, neither looks beyond the next mark of its kind: a text full of them took ten seconds.
_LINK = re.compile(r"\[[^\[\]\n]+\]\([^()\s]*\)")
_BOLD = re.compile(r"\*\*(?=\S)(?:(?!\*\*).)+(?<=\S)\*\*")
_HTML = re.compile(r"</?(?:a|b|br|div|em|h\d|i|img|li|ol|p|span|strong|u|ul)\b[^<>]*>", re.IGNORECASE)
_LINK_URL = re.compile(r"\]\(((?:\{\{.*?\}\}|[^()\s{])+)\)")
_WRITTEN_URL = re.compile(rf"(?:https?://[^/?#\s]|mailto:[^\s{_VALUE}]|mailto:{_VALUE})", re.IGNORECASE)
_SOLE_VALUE = re.compile(r"\{\{\s*(\w+)\s*[|}]")


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake: where it is, the line counted from 1, what it is, and how to mend it."""

    path: str
    line: int
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}; {self.remedy}"


def check_texts(sources: Iterable[Source], catalogue: Catalogue, locales: Sequence[str]) -> list[Finding]:
    """Answer every mistake in the texts, by path and line. Of two sources for one text the later holds.

    `locales`: those that every route of every type must have a text in.
    """
    every = list(sources)
    findings = [finding for source in every for finding in _misplaced(source, catalogue)]
    lost = {finding.path for finding in findings}
    good: dict[tuple[str, str, str, str], Source] = {}
    for source in every:
        if source.path in lost:
            continue
        found = list(_of_one(source, _info(source, catalogue)))
        findings += found
        if not found:
            good[_place(source)] = source
    findings += _missing(every, catalogue, locales)
    findings += _too_long(list(good.values()), catalogue)
    return sorted(set(findings), key=lambda each: (each.path, each.line, each.what))


def _misplaced(source: Source, catalogue: Catalogue) -> Iterator[Finding]:
    infos = {info.text_key: info for info in catalogue if info.routes}
    info = infos.get(source.event_type)
    if info is None:
        yield _finding(source, f"there is no event type {source.event_type!r}", _nearest(source.event_type, infos))
        return
    audiences = [route.audience for route in info.routes]
    if source.audience not in audiences:
        yield _finding(source, f"{info.type} has no route to {source.audience!r}", _nearest(source.audience, audiences))
    channels = sorted({channel for one in infos.values() for route in one.routes for channel in route.channels})
    if source.channel and source.channel not in channels:
        yield _finding(source, f"there is no channel {source.channel!r}", _nearest(source.channel, channels))


def _nearest(word: str, known: Iterable[str]) -> str:
    choices = list(known)
    close = get_close_matches(word, choices, n=1, cutoff=0.5)
    few = 8
    return (
        f"did you mean {close[0]}?" if close else f"use one of {', '.join(choices[:few])}{', …' * (len(choices) > few)}"
    )


def _finding(source: Source, what: str, remedy: str, line: int = 1) -> Finding:
    return Finding(source.path, line, what, remedy)


def _info(source: Source, catalogue: Catalogue) -> EventInfo:
    return next(info for info in catalogue if info.text_key == source.event_type)


@lru_cache(maxsize=512)
def _fields(info: EventInfo) -> dict[str, Field]:
    return {field.name: field for field in fields_of(info)}


def _of_one(source: Source, info: EventInfo) -> Iterator[Finding]:
    """What is wrong with one text by itself."""
    try:
        parsed = parse(source)
        for markup in Markup:
            parsed.engine_source(markup)
    except TemplateInvalid as error:
        yield Finding(source.path, error.line, error.what, error.remedy)
        return
    for flaw in (*flaws_in_tags(parsed, _fields(info)), *_markup_flaws(parsed), *_link_flaws(parsed, _fields(info))):
        yield Finding(source.path, flaw.line, flaw.what, flaw.remedy)


def _markup_flaws(parsed: Parsed) -> Iterator[Flaw]:
    """Markup that was meant and would be read as it stands."""
    for name, piece in parsed.headers.items():
        if name != "link" and ("**" in piece.text or _LINK.search(piece.text)):
            yield Flaw(
                piece.line, f"markup in the {name} is shown as it stands", "write it without: only the body has markup"
            )
    for line, text in enumerate(parsed.body.text.split("\n"), start=parsed.body.line):
        words = TAG.sub(_VALUE, text)
        rest = _BOLD.sub("", _LINK.sub("", words))
        if "**" in rest:
            yield Flaw(line, "** begins or ends no bold text", "write **words**, on one line and without spaces inside")
        if "](" in rest:
            yield Flaw(line, "this is no link", "write [label](https://…), without spaces or parentheses in the URL")
        if words.lstrip().startswith(("* ", "• ")):
            yield Flaw(line, "this is no list item", "begin it with '- '")
        if html := _HTML.search(words):
            yield Flaw(line, f"{html[0]} is shown as it stands", "use **bold**, [label](url), '- ' and blank lines")


def _link_flaws(parsed: Parsed, fields: dict[str, Field]) -> Iterator[Flaw]:
    """Addresses that cannot become http, https or mailto, whatever the values are."""
    if link := parsed.headers.get("link"):
        for part in re.split(r"\{%.*?%\}", link.text):
            yield from _address_flaws(link.line, part.strip(), fields)
    for line, text in enumerate(parsed.body.text.split("\n"), start=parsed.body.line):
        for url in _LINK_URL.findall(text):
            yield from _address_flaws(line, url, fields)


def _address_flaws(line: int, url: str, fields: dict[str, Field]) -> Iterator[Flaw]:
    if not url:
        return
    sole = _SOLE_VALUE.match(url)
    if sole:
        field = fields.get(sole[1])
        if field and field.kind != "url":
            yield Flaw(line, f"{field.name!r} is no URL", "link to a field that is one, or begin with https://")
    elif not _WRITTEN_URL.match(TAG.sub(_VALUE, url)):
        yield Flaw(
            line, f"{TAG.sub('…', url)} is no address a message may link to", "begin with http://, https:// or mailto:"
        )


def _missing(sources: Sequence[Source], catalogue: Catalogue, locales: Sequence[str]) -> Iterator[Finding]:
    wanted = [normal(locale) for locale in locales]
    found = {(each.event_type, each.audience, normal(each.locale)): each for each in sources if not each.channel}
    special = {(each.event_type, each.audience, normal(each.locale)): each for each in sources if each.channel}
    for info in catalogue:
        for route in info.routes:
            here = info.text_key, route.audience
            for locale in dict.fromkeys([DEFAULT_LOCALE, *wanted]):
                if (*here, locale) in found:
                    continue
                sibling = next((each for place, each in found.items() if place[:2] == here), None)
                yield Finding(_beside(sibling, *here, locale), 1, "there is no such text", _why(locale, wanted))
    for place, each in special.items():
        if place not in found and place[2] not in {DEFAULT_LOCALE, *wanted}:
            yield _finding(each, f"it is for {each.channel} only", f"write {each.locale}.txt for the other channels")


def _why(locale: str, wanted: Sequence[str]) -> str:
    if locale in wanted:
        return "write it, or leave its locale out of --locales"
    return f"write it: {DEFAULT_LOCALE} serves everybody whose language has no text"


def _beside(sibling: Source | None, event_type: str, audience: str, locale: str) -> str:
    """The path of a text that is not there: in the folder of its siblings, where it has some."""
    name = f"{locale}.txt"
    return f"{sibling.path.rpartition('/')[0]}/{name}" if sibling else f"{event_type}/{audience}/{name}"


def _too_long(good: Sequence[Source], catalogue: Catalogue) -> Iterator[Finding]:
    """What only shows when texts are rendered. Only whole texts are: each with one in the default locale beside it."""
    bases = {(each.event_type, each.audience, normal(each.locale)) for each in good if not each.channel}
    whole = [
        each
        for each in good
        if {(each.event_type, each.audience, locale) for locale in (DEFAULT_LOCALE, normal(each.locale))} <= bases
    ]
    texts = Texts(whole)
    for source in whole:
        info = _info(source, catalogue)
        route = next(route for route in info.routes if route.audience == source.audience)
        own = {each.channel for each in whole if _place(each)[:3] == _place(source)[:3]}
        channels = [source.channel] if source.channel else [name for name in route.channels if name not in own]
        for flaw in flaws_in_sizes(texts, parse(source), info, channels):
            yield Finding(source.path, flaw.line, flaw.what, flaw.remedy)


def _place(source: Source) -> tuple[str, str, str, str]:
    return source.event_type, source.audience, normal(source.locale), source.channel
