"""One text's tags against the fields of its event: names that do not exist, what may be absent, what needs a filter.

Pure and static, so that branches no example would reach are looked at too. Relies on `text_source.parse` having let
the text through: what a tag may do is little, and there are no calls, tests or assignments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from worker.core.fields import Field, Kind
from worker.core.markup import TAG
from worker.core.text_source import FILTERS, KNOWN, Parsed

_LITERAL = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_NAME = re.compile(r"(?<![\w.|])[A-Za-z_]\w*(?:\.\w+)*(?!\w|\s*=[^=])")
_FILTERED = re.compile(r"(?<![\w.])([A-Za-z_]\w*(?:\.\w+)?)\s*\|\s*(\w+)(\s*\()?")
_WORDS = frozenset({"and", "or", "not", "in", "if", "else", "elif", "for", "is", "true", "false", "none", "loop"})
_NUMBERS: tuple[Kind, ...] = ("amount", "count", "number")
_SUITED: Mapping[str, tuple[Kind, ...]] = {
    **dict.fromkeys(("money", "number", "percent", "bytes", "duration", "plural", "round"), _NUMBERS),
    **dict.fromkeys(("date", "datetime", "days_until", "minutes_until"), ("moment",)),
    "join": ("list",),
}
_NEEDED: Mapping[Kind, tuple[str, str]] = {
    "moment": ("a moment is printed as machines write it", "datetime, or |date"),
    "amount": ("an amount is printed as machines write it", "money(currency)"),
    "list": ("a list is printed as machines write it", "join(', '), or {% for … %}"),
}


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong on one line of a text, counted from 1, and what to write instead."""

    line: int
    what: str
    remedy: str


@dataclass(slots=True)
class _Scope:
    """One open statement: what it promises to be there, what its next branch may rely on, the name it makes."""

    present: frozenset[str] = frozenset()
    otherwise: frozenset[str] = frozenset()
    local: str = ""


@dataclass(slots=True)
class _Reader:
    """Reads a text's tags in their order, and remembers which statements are open."""

    fields: Mapping[str, Field]
    open: list[_Scope] = field(default_factory=list)

    def flaws(self, line: int, text: str, *, is_link: bool = False) -> Iterator[Flaw]:
        """Answer the flaws of one line, in order. `is_link`: its values make an address, and may be nothing."""
        for found in TAG.finditer(text):
            tag = found[0]
            inside = _LITERAL.sub("''", tag[2:-2].strip("-+ "))
            if tag.startswith("{{"):
                yield from self._unknown(line, inside)
                yield from self._ill_suited(line, inside, is_link=is_link)
                if not (is_link and tag == text):
                    yield from self._unguarded(line, inside)
            elif tag.startswith("{%"):
                yield from self._statement(line, inside)

    def _statement(self, line: int, inside: str) -> Iterator[Flaw]:
        word, _, rest = inside.partition(" ")
        match word:
            case "if":
                yield from self._unknown(line, rest)
                self.open.append(_Scope(_promised(rest), _denied(rest)))
            case "elif":
                yield from self._unknown(line, rest)
                before = self.open[-1]
                before.present, before.otherwise = before.otherwise | _promised(rest), before.otherwise | _denied(rest)
            case "else":
                self.open[-1].present = self.open[-1].otherwise
            case "for":
                local, _, whole = rest.partition(" in ")
                yield from self._unknown(line, whole)
                self.open.append(_Scope(_promised(whole), local=local.strip()))
            case _:
                self.open.pop()

    def _unknown(self, line: int, expression: str) -> Iterator[Flaw]:
        for name in _names(expression):
            if not self._is_known(name):
                known = (*self.fields, *(f"{one}.{attribute}" for one in KNOWN for attribute in KNOWN[one]))
                close = get_close_matches(name, known, n=1, cutoff=0.6)
                remedy = f"did you mean {close[0]}?" if close else f"use one of {', '.join(self.fields)}"
                yield Flaw(line, f"the event has no field {name!r}", remedy)

    def _is_known(self, name: str) -> bool:
        head = name.partition(".")[0]
        return head in self.fields or head in KNOWN or any(head == scope.local for scope in self.open)

    def _unguarded(self, line: int, expression: str) -> Iterator[Flaw]:
        printed, _, condition = expression.partition(" if ")
        present = frozenset().union(
            *(scope.present for scope in self.open), _promised(condition.partition(" else ")[0])
        )
        if "|default" in printed.replace(" ", "") or " or " in printed:
            return
        for name in _names(printed):
            known = self.fields.get(name)
            if known and known.is_optional and name not in present and not self._is_local(name):
                remedy = f"write {{% if {name} %}} … {{% endif %}} around it, or {name}|default('…')"
                yield Flaw(line, f"{name!r} is printed and may be absent", remedy)

    def _ill_suited(self, line: int, expression: str, *, is_link: bool) -> Iterator[Flaw]:
        for name, filter_, has_arguments in _FILTERED.findall(expression):
            kind = self._kind_of(name)
            if kind and filter_ in FILTERS and kind not in _SUITED.get(filter_, (kind,)):
                yield Flaw(line, f"{name!r} is {_a(kind)} and not for |{filter_}", f"print {_a(kind)} as it should be")
            elif filter_ == "money" and not has_arguments:
                yield Flaw(line, f"the amount {name!r} has no currency", f"write {name}|money(currency)")
        kind = self._kind_of(expression.strip())
        if kind is not None and kind in _NEEDED and not is_link:
            what, remedy = _NEEDED[kind]
            yield Flaw(line, f"{what}: {expression.strip()}", f"write {expression.strip()}|{remedy}")

    def _kind_of(self, name: str) -> Kind | None:
        if name == "event.time":
            return "moment"
        return None if name not in self.fields or self._is_local(name) else self.fields[name].kind

    def _is_local(self, name: str) -> bool:
        return any(name == scope.local for scope in self.open)


def flaws_in_tags(parsed: Parsed, fields: Mapping[str, Field]) -> Iterator[Flaw]:
    """Answer what the text's tags get wrong about the fields of its event, in no particular order."""
    for name, piece in parsed.headers.items():
        yield from _Reader(fields).flaws(piece.line, piece.text, is_link=name == "link")
    reader = _Reader(fields)
    for line, text in enumerate(parsed.body.text.split("\n"), start=parsed.body.line):
        yield from reader.flaws(line, text)


def _names(expression: str) -> list[str]:
    """The variables of an expression without literals: `person.name` is one; names of filters are none."""
    without_filters = re.sub(r"\|\s*\w+", "|", expression)
    return [name for name in _NAME.findall(without_filters) if name.lower() not in _WORDS and name[:5] != "loop."]


def _promised(condition: str) -> frozenset[str]:
    """What is surely there where the condition holds: `a and b > 0` promises both, `a or b` neither."""
    if " or " in condition:
        return frozenset()
    parts = [part.strip(" ()") for part in condition.split(" and ")]
    return frozenset(_subject(part) for part in parts if not part.startswith("not ") and "!=" not in part)


def _denied(condition: str) -> frozenset[str]:
    """What is surely there where the condition does not hold: `not a` gives `a`."""
    parts = [part.strip(" ()") for part in condition.split(" or ")]
    if any(" and " in part for part in parts):
        return frozenset()
    return frozenset(_subject(part.removeprefix("not ")) for part in parts if part.startswith("not "))


def _subject(part: str) -> str:
    names = _names(part)
    return names[0] if names else ""


def _a(kind: Kind) -> str:
    return {"url": "a URL", "email": "an e-mail address", "amount": "an amount"}.get(kind, f"a {kind}")
