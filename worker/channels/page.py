"""An HTML mail as it is seen: the colours of its words in both schemes, pictures, links. Pure.

Knows as much CSS as mails use: inline styles, and rules whose selectors are made of elements and classes, plain or for
the dark scheme. What sizes, places and hover states do is left aside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from itertools import chain
from typing import Literal

Scheme = Literal["light", "dark"]

_VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})
_SILENT = frozenset({"head", "script", "style", "title"})
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_RULE = re.compile(r"@(?P<media>[^{}]*)\{(?P<inner>(?:[^{}]*\{[^{}]*\})*)[^{}]*\}|(?P<of>[^{}@]+)\{(?P<has>[^{}]*)\}")
_COMPOUND = re.compile(r"(?P<tag>[a-z][a-z0-9]*|\*)?(?P<classes>(?:\.[\w-]+)*)", re.IGNORECASE)
_DARK = re.compile(r"prefers-color-scheme\s*:\s*dark")
_HEX = re.compile(r"#(?:[0-9a-f]{6}|[0-9a-f]{3})\b", re.IGNORECASE)
_NAMES = {"white": "#ffffff", "black": "#000000"}
_UNSET = ("inherit", "initial", "transparent", "none", "currentcolor")


@dataclass(frozen=True, slots=True)
class Shade:
    """How one scheme shows some words, colours as `#rrggbb`; `tag` and `classes` are of what gives them theirs."""

    scheme: Scheme
    colour: str
    ground: str
    tag: str
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture. `alt` None: it has none; empty: it says that it needs none."""

    url: str
    alt: str | None
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """What can be seen of a page. `links` are address and label; `unknown` are colours that nothing is known of."""

    shades: tuple[Shade, ...]
    pictures: tuple[Picture, ...]
    links: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...]


def read_page(html: str) -> Page:
    """See a page as its readers do. What is hidden (`display:none`) is not."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    links = tuple((url, "".join(said)) for url, said in reader.links)
    return Page(
        tuple(dict.fromkeys(reader.shades)), tuple(reader.pictures), links, tuple(dict.fromkeys(reader.unknown))
    )


@dataclass(frozen=True, slots=True)
class _Rule:
    """A style sheet's rule. Of its selector, the last compound is the element's, those before are its ancestors'."""

    compounds: tuple[tuple[str, frozenset[str]], ...]
    properties: Mapping[str, str]
    schemes: tuple[Scheme, ...]


@dataclass(frozen=True, slots=True)
class _Element:
    tag: str
    classes: tuple[str, ...]
    shades: tuple[Shade, ...]
    is_hidden: bool


_SCHEMES: tuple[Scheme, ...] = ("light", "dark")
_BARE = tuple(Shade(scheme, "#000000", "#ffffff", "html", ()) for scheme in _SCHEMES)
_ROOT = _Element("", (), _BARE, is_hidden=False)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.shades: list[Shade] = []
        self.pictures: list[Picture] = []
        self.links: list[tuple[str, list[str]]] = []
        self.unknown: list[str] = []
        self._rules: list[_Rule] = []
        self._open: list[_Element] = [_ROOT]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        classes = tuple(given.get("class", "").split())
        if tag == "img":
            self.pictures.append(Picture(given.get("src", ""), given.get("alt"), classes))
            self._say(given.get("alt", ""))
        if tag == "a" and "href" in given:
            self.links.append((given["href"], []))
        if tag not in _VOID:
            self._open.append(self._element(tag, classes, given))

    def handle_endtag(self, tag: str) -> None:
        if any(element.tag == tag for element in self._open):
            while self._open.pop().tag != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._open[-1].tag == "style":
            self._rules += _rules(data)
        else:
            self._say(data)

    def _say(self, text: str) -> None:
        element = self._open[-1]
        said = " ".join(text.split())
        if element.is_hidden or not said:
            return
        if any(one.tag == "a" for one in self._open):
            self.links[-1][1].append(said)
        self.shades += element.shades

    def _element(self, tag: str, classes: tuple[str, ...], given: Mapping[str, str]) -> _Element:
        around = self._open[-1]
        inline = _properties(given.get("style", ""))
        shades = tuple(self._shade(tag, classes, given, inline, shade) for shade in around.shades)
        is_hidden = around.is_hidden or tag in _SILENT or inline.get("display") == "none"
        return _Element(tag, classes, shades, is_hidden)

    def _shade(
        self, tag: str, classes: tuple[str, ...], given: Mapping[str, str], inline: Mapping[str, str], around: Shade
    ) -> Shade:
        path = [*self._open, _Element(tag, classes, (), is_hidden=False)]
        ruled = [
            rule.properties for rule in self._rules if around.scheme in rule.schemes and _fits(rule.compounds, path)
        ]
        attributes = {"background-color": given.get("bgcolor", ""), "color": given.get("color", "")}
        if tag == "a" and "href" in given:
            attributes["color"] = "#0000ee"  # as browsers show a link that nobody styled
        # The later wins, and what is important over all.
        layers = [attributes, *ruled, inline, *map(_important, ruled), _important(inline)]
        colour = self._last(layers, "color")
        ground = self._last(layers, "background-color", "background") or around.ground
        if not colour:
            return replace(around, ground=ground)
        return Shade(around.scheme, colour, ground, tag, classes)

    def _last(self, layers: list[Mapping[str, str]], *names: str) -> str:
        """The colour that the last of these layers sets, as `#rrggbb`; empty where none does."""
        values = [layer[name] for layer in layers for name in names if layer.get(name)]
        value = values[-1].removesuffix("!important").strip().lower() if values else ""
        if not value or value in _UNSET:
            return ""
        if found := _HEX.search(value):
            digits = found[0][1:]
            return f"#{digits if len(digits) == 6 else ''.join(2 * digit for digit in digits)}"  # noqa: PLR2004
        if value not in _NAMES:
            self.unknown.append(value)
        return _NAMES.get(value, "")


def _rules(css: str) -> Iterator[_Rule]:
    for found in _RULE.finditer(_COMMENT.sub("", css)):
        if found["media"] is None:
            yield from _ruled(found["of"], found["has"], _SCHEMES)
        elif _DARK.search(found["media"]):
            inner = (_ruled(one["of"], one["has"], ("dark",)) for one in _RULE.finditer(found["inner"]))
            yield from chain.from_iterable(inner)


def _ruled(selectors: str, block: str, schemes: tuple[Scheme, ...]) -> Iterator[_Rule]:
    for selector in selectors.split(","):
        compounds = [_COMPOUND.fullmatch(part) for part in selector.split()]
        if all(compounds):
            read = tuple(
                ((one["tag"] or "*").lower(), frozenset(one["classes"].split(".")[1:])) for one in compounds if one
            )
            yield _Rule(read, _properties(block), schemes)


def _properties(block: str) -> dict[str, str]:
    pairs = (part.partition(":") for part in block.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


def _important(properties: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in properties.items() if value.endswith("!important")}


def _fits(compounds: tuple[tuple[str, frozenset[str]], ...], path: list[_Element]) -> bool:
    """Does this selector mean the last element of a path from the root?"""
    if not compounds or not _is(compounds[-1], path[-1]):
        return False
    wanted = list(compounds[:-1])
    for element in reversed(path[:-1]):
        if wanted and _is(wanted[-1], element):
            wanted.pop()
    return not wanted


def _is(compound: tuple[str, frozenset[str]], element: _Element) -> bool:
    tag, classes = compound
    return tag in {"*", element.tag} and classes.issubset(element.classes)
