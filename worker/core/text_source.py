"""A text as its author wrote it, taken apart and checked. Pure; everything here happens once, when texts are loaded.

A source is header lines (`title`, `link`, `action`), a blank line, and a body in neutral markup (see `markup`).
What its tags may do is a list of what is allowed, not of what is forbidden: the engine offers far more than a text
needs, and among it ways to print unescaped values or to fill the memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import minijinja

from worker.core import limits
from worker.core.content import Markup
from worker.core.locales import normal
from worker.core.markup import (
    FIELD_MARK,
    TAG,
    TAG_START,
    MarkupInvalid,
    escape_around_tags,
    medium_source,
    unbalanced,
)
from worker.errors import TemplateInvalid

FILTERS = (
    "money",
    "number",
    "percent",
    "bytes",
    "duration",
    "date",
    "datetime",
    "days_until",
    "minutes_until",
    "plural",
    "default",
    "join",
    "length",
    "upper",
    "lower",
    "round",
)
STATEMENTS = ("if", "elif", "else", "endif", "for", "endfor")
KNOWN = {"person": ("name", "locale", "zone"), "event": ("type", "time")}
"""The names that are no payload fields, and what they have."""

UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What neither a source nor a value may bring into a message: control characters (and so the marks between fields),
line separators, bidirectional overrides that would reorder the words around them, halves of surrogate pairs."""

_HEADERS = ("title", "link", "action")
_PRIVATE_USE = re.compile("[\U000f0000-\U0010ffff]")
_LITERAL = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_FILTER = re.compile(r"\|\s*(\w*)\s*")
_CALL = re.compile(r"([\w\])]+)\s*\(")
_WORDS_BEFORE_PARENTHESES = ("and", "or", "not", "in", "if", "elif", "else")
# Joining and repeating strings fills the memory; what remains of + is counting: {{ rank + 1 }}.
_REFUSED = re.compile(r"__|\bis\b|\brecursive\b|[*~]|\+(?!\s*\d)")
_SURPLUS = re.compile(r"\|\s*(number|percent|bytes|duration|date|datetime|days_until|minutes_until|length)\s*\(")
# Dropping stars and joining lines can bring a brace of the words before a tag: {**{{ v }}** in plain text.
_TOUCHING = re.compile(r"\{\{[{%#]")
_TAKEN = re.compile(r"for\b.*?\b(person|event|loop)\b.*?\bin\b")
_SYNTAX = minijinja.Environment()


@dataclass(frozen=True, slots=True)
class Source:
    """One text as its author wrote it. `channel` is empty, or names the only channel it is for."""

    path: str
    event_type: str
    audience: str
    locale: str
    channel: str
    text: str


class Place(NamedTuple):
    """Which text: as its file's path says it, the locale in its normal form. `channel` is mostly empty."""

    event_type: str
    audience: str
    locale: str
    channel: str

    @property
    def name(self) -> str:
        """Its path in a folder of texts: `payment.failed/user/en.slack.txt`."""
        return f"{self.event_type}/{self.audience}/{self.wording}.txt"

    @property
    def wording(self) -> str:
        """Its locale, and the channel it is for where it is for one: `en`, `en.slack`."""
        return f"{self.locale}.{self.channel}" if self.channel else self.locale


def place_of(source: Source) -> Place:
    """Which text this is a source of."""
    return Place(source.event_type, source.audience, normal(source.locale), source.channel)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a source and the line it begins on, counted from 1."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """A source that was checked: its parts, and the payload fields that its tags use, in order."""

    source: Source
    headers: Mapping[str, _Piece]
    body: _Piece
    fields: tuple[str, ...]

    def engine_source(self, markup: Markup) -> str:
        """One engine template for the whole text: link, title, action and body, with marks between them.

        The link is left raw. Raises `TemplateInvalid` where the body's markup cannot be written in this medium.
        """
        title, link, action = (self.headers[name].text if name in self.headers else "" for name in _HEADERS)
        try:
            body = medium_source(self.body.text, markup)
        except MarkupInvalid as error:
            raise _invalid(self.source, self.body.line + error.line - 1, error.what, error.remedy) from None
        written = FIELD_MARK.join(
            [
                f"{{% autoescape false %}}{link}{{% endautoescape %}}",
                escape_around_tags(title, markup),
                escape_around_tags(action, markup),
                body,
            ]
        )
        if _TOUCHING.search(written):
            raise _invalid(self.source, self._line_with_brace(), "a brace comes to touch a tag", "leave the brace out")
        return written

    def _line_with_brace(self) -> int:
        pieces = [*self.headers.values(), self.body]
        lines = ((number, line) for piece in pieces for number, line in enumerate(piece.text.split("\n"), piece.line))
        return next((number for number, line in lines if "{" in TAG.sub("", line)), self.body.line)


def parse(source: Source) -> Parsed:
    """Take a source apart and check all of it but the body's markup. Raises `TemplateInvalid`."""
    _check_size(source)
    text = source.text.removeprefix("\ufeff").replace("\r\n", "\n")
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        _check_characters(source, number, line)
    length = next((index for index, line in enumerate(lines) if not line.strip()), len(lines))
    headers = _headers(source, lines[:length])
    body = _Piece(length + 1, "\n".join(lines[length:]))
    fields: set[str] = set()
    for piece in [*headers.values(), body]:
        fields |= _fields(source, piece)
    return Parsed(source, headers, body, tuple(sorted(fields)))


def _check_size(source: Source) -> None:
    for what, size, most in (
        ("bytes", len(source.text.encode("utf-8", "replace")), limits.LONGEST_SOURCE_BYTES),
        ("lines", source.text.count("\n") + 1, limits.MOST_LINES),
        ("tags", source.text.count("{{") + source.text.count("{%") + source.text.count("{#"), limits.MOST_TAGS),
        ("links", source.text.count("]("), limits.MOST_LINKS),
        ("bold marks", source.text.count("**"), limits.MOST_BOLD_MARKS),
    ):
        if size > most:
            raise _invalid(source, 1, f"it has {size} {what}, but the limit is {most}", "shorten it")


def _check_characters(source: Source, number: int, line: str) -> None:
    unwanted = UNWANTED.search(line) or _PRIVATE_USE.search(line)
    if unwanted:
        raise _invalid(source, number, f"it holds the character U+{ord(unwanted[0]):04X}", "remove it")


def _headers(source: Source, lines: list[str]) -> dict[str, _Piece]:
    headers: dict[str, _Piece] = {}
    for number, line in enumerate(lines, start=1):
        name, colon, value = line.partition(":")
        if not colon or name not in _HEADERS or name in headers:
            what = f"{line[:40]!r} is no header, or one too many"
            raise _invalid(source, number, what, "begin with title:, link: and action:, then a blank line")
        headers[name] = _Piece(number, value.strip())
    if "title" not in headers or not headers["title"].text:
        raise _invalid(source, 1, "there is no title", "write a line title: … at the top")
    if ("link" in headers) != ("action" in headers):
        raise _invalid(source, 1, "a link without its action, or the reverse", "write both lines, or neither")
    return headers


def _fields(source: Source, piece: _Piece) -> set[str]:
    """Check all tags of one part, and name the payload fields that they use."""
    for number, line in enumerate(piece.text.split("\n"), start=piece.line):
        for tag in _tags(source, number, line):
            _check_tag(source, number, tag)
    if unbalanced(piece.text):
        number = piece.line + piece.text[: piece.text.index("{%")].count("\n")
        raise _invalid(source, number, "a statement has no beginning or no end", "pair if/endif, for/endfor")
    try:
        names = _SYNTAX.undeclared_variables_in_str(piece.text, nested=True)
    except minijinja.TemplateError as error:
        number = piece.line + (error.line or 1) - 1
        raise _invalid(source, number, f"{error.detail}", "correct the tag") from None
    return {name.partition(".")[0] for name in names if not _is_known(source, piece, name)}


def _tags(source: Source, number: int, line: str) -> Iterator[str]:
    """The tags of one line. Never reads on from one that does not end, or a line of many took a minute."""
    end = 0
    while start := TAG_START.search(line, end):
        tag = TAG.match(line, start.start())
        if tag is None:
            raise _invalid(source, number, "a tag does not end on its line", "close it with }}, %} or #}")
        end = tag.end()
        yield tag[0]


def _check_tag(source: Source, number: int, tag: str) -> None:
    """Refuse what is not on the list: other statements and filters, tests, calls, repetition, private attributes."""
    if len(tag) > limits.LONGEST_TAG:
        raise _invalid(source, number, f"a tag is longer than {limits.LONGEST_TAG} characters", "say it in several")
    if tag.startswith("{#"):
        return
    inside = _LITERAL.sub('""', tag[2:-2].strip("-+ "))
    if tag.startswith("{%") and (inside.split() or [""])[0] not in STATEMENTS:
        raise _invalid(source, number, f"{tag} is not allowed", f"the statements are {', '.join(STATEMENTS)}")
    for name in _FILTER.findall(inside):
        if name not in FILTERS:
            raise _invalid(source, number, f"there is no filter {name!r}", f"use one of {', '.join(FILTERS)}")
    if surplus := _SURPLUS.search(inside):
        raise _invalid(source, number, f"the filter {surplus[1]} takes nothing in parentheses", "remove them")
    if taken := _TAKEN.match(inside):
        raise _invalid(source, number, f"the name {taken[1]} is taken", "call it something else")
    without_filters = _FILTER.sub("| ", inside)
    calls = [name for name in _CALL.findall(without_filters) if name not in _WORDS_BEFORE_PARENTHESES]
    if calls or _REFUSED.search(inside):
        remedy = "use variables, filters, comparisons, and, or, not; {% if name %} asks whether there is a value"
        raise _invalid(source, number, f"{tag} does more than a text may", remedy)


def _is_known(source: Source, piece: _Piece, name: str) -> bool:
    """Is this one of the names that are no payload fields? Raises where it almost is."""
    head, _, attribute = name.partition(".")
    if head == "loop":
        return True
    if head not in KNOWN:
        return False
    if attribute not in KNOWN[head]:
        offset = next((at for at, line in enumerate(piece.text.split("\n")) if name in line), 0)
        known = ", ".join(f"{head}.{attribute}" for attribute in KNOWN[head])
        raise _invalid(source, piece.line + offset, f"there is no {name}", f"use one of {known}")
    return True


def _invalid(source: Source, line: int, what: str, remedy: str) -> TemplateInvalid:
    return TemplateInvalid(source.path, line, what, remedy)
