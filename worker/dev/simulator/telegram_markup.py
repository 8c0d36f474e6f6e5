"""Telegram's HTML: checked as its documentation demands, and written anew as HTML that is safe to show.

Source: https://core.telegram.org/bots/api#html-style. "All <, > and & symbols that are not a part of a tag or an
HTML entity must be replaced": Telegram itself lets a lone > or & pass, this does not, because they mean that
somebody forgot to escape.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"<(?P<close>/?)(?P<tag>[A-Za-z][A-Za-z0-9-]*)(?P<attributes>(?:\s+[a-zA-Z-]+(?:=(?:\"[^\"<>]*\"|'[^'<>]*'))?)*)\s*>"
    r"|(?P<entity>&(?:lt|gt|amp|quot|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});)"
    r"|(?P<stray>[<>&])"
    r"|(?P<words>[^<>&]+)"
)
_ATTRIBUTE = re.compile(r"([a-zA-Z-]+)(?:=(?:\"([^\"]*)\"|'([^']*)'))?")
_SHOWN_AS = {
    **dict.fromkeys(("b", "strong"), "b"),
    **dict.fromkeys(("i", "em"), "i"),
    **dict.fromkeys(("u", "ins"), "u"),
    **dict.fromkeys(("s", "strike", "del"), "s"),
    **dict.fromkeys(("span", "tg-spoiler", "tg-emoji"), "span"),
    "a": "a",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
}
_SAFE_LINK = re.compile(r"(?:https?://|mailto:|tg://)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Formatted:
    """A text that Telegram takes: without its markup, and as HTML that is safe to show."""

    text: str
    safe_html: str


@dataclass(frozen=True, slots=True)
class Faulty:
    """A text that Telegram refuses, in the words of its server."""

    description: str


@dataclass(slots=True)
class _Reading:
    text: list[str] = field(default_factory=list)
    safe: list[str] = field(default_factory=list)
    open_tags: list[tuple[str, int]] = field(default_factory=list)


def read_markup(source: str) -> Formatted | Faulty:
    """Read a text in Telegram's HTML. Offsets in faults count bytes from 0, as Telegram does."""
    reading = _Reading()
    for token in _TOKEN.finditer(source):
        fault = _read_token(token, reading)
        if fault:
            return Faulty(fault.format(offset=len(source[: token.start()].encode("utf-8", "replace"))))
    if reading.open_tags:
        tag, offset = reading.open_tags[-1]
        byte_offset = len(source[:offset].encode("utf-8", "replace"))
        return Faulty(f'Can\'t find end tag corresponding to start tag "{tag}" at byte offset {byte_offset}')
    return Formatted("".join(reading.text), "".join(reading.safe))


def _read_token(token: re.Match[str], reading: _Reading) -> str:
    match token.lastgroup:
        case "words" | "entity":
            words = html.unescape(token.group())
            reading.text.append(words)
            reading.safe.append(html.escape(words))
            return ""
        case "stray":
            return f"Character '{token.group()}' at byte offset {{offset}} must be escaped"
        case _ if token["close"]:
            return _close(token["tag"].lower(), reading)
        case _:
            return _open(token["tag"].lower(), token["attributes"], token.start(), reading)


def _open(tag: str, attributes: str, start: int, reading: _Reading) -> str:
    shown = _SHOWN_AS.get(tag)
    values = {name.lower(): first or second for name, first, second in _ATTRIBUTE.findall(attributes)}
    if shown is None or (tag == "span" and values.get("class") != "tg-spoiler"):
        return f'Unsupported start tag "{tag}" at byte offset {{offset}}'
    reading.open_tags.append((tag, start))
    link = html.unescape(values.get("href", ""))
    if shown == "a" and _SAFE_LINK.match(link):
        reading.safe.append(f'<a href="{html.escape(link)}" target="_blank" rel="noreferrer noopener">')
    elif shown == "span" and tag != "tg-emoji":
        reading.safe.append('<span class="spoiler" tabindex="0">')
    else:
        reading.safe.append(f"<{shown}>")
    return ""


def _close(tag: str, reading: _Reading) -> str:
    if not reading.open_tags:
        return "Unexpected end tag at byte offset {offset}"
    expected, _ = reading.open_tags.pop()
    if tag != expected:
        return f'Unmatched end tag at byte offset {{offset}}, expected "</{expected}>", found "</{tag}>"'
    reading.safe.append(f"</{_SHOWN_AS[tag]}>")
    return ""
