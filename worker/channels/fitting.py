"""Making a text fit a medium: shortened at a word, never inside a tag or an entity, and only links that are safe.

Pure. Knows how texts are marked up, and nothing of any provider.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

from worker.core.formats import NO_BREAK

ELLIPSIS = "…"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_LINK_LIMIT = 3000
_UNWANTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]+")
_UNWANTED_ASCII = bytes({*range(32), 127} - {*b"\t\n\r"})
_LINK = re.compile(
    r"(?:https?://[^\s\x00-\x20\x7f-\x9f<>\"\\/?#]|mailto:)[^\s\x00-\x20\x7f-\x9f<>\"\\]*", re.IGNORECASE
)
_PIECE = re.compile(r"<[^<>]*>|&#?\w{1,31};|.", re.DOTALL)
_TAG = re.compile(r"<(/?)([A-Za-z][\w-]*)")


def one_line(text: str) -> str:
    """Give the text without line breaks, NUL, other controls and lone surrogates; a space stands for each run.

    Emoji joiners and marks of writing direction stay: they are part of names.
    """
    if text.isprintable() or text.replace(NO_BREAK, "").isprintable():
        return text
    return _CONTROL.sub(" ", text).strip()


def clean(text: str) -> str:
    """Give the text without NUL, other controls and lone surrogates; lines and tabs stay."""
    try:
        raw = text.encode()
        if len(raw) == len(raw.translate(None, _UNWANTED_ASCII)):  # as nearly always, and in a fifth of the time
            return text
    except UnicodeEncodeError:
        pass  # half of a surrogate pair
    return _UNWANTED.sub("", text)


def safe_link(link: str) -> str:
    """Give the link back if it is http, https or mailto, one clean word and at most 3000 characters; else ''."""
    return link if len(link) <= _LINK_LIMIT and _LINK.fullmatch(link) else ""


def is_web(link: str) -> bool:
    """Whether a safe link is http or https: what a button of a chat medium may open."""
    return link[:4].lower() == "http"


def safe_picture(url: str) -> str:
    """Give the URL of a picture back if a medium may load it: a safe link of http or https; else ''."""
    return safe_link(url) if url and is_web(url) else ""


def shorten(text: str, limit: int) -> str:
    """Give a plain text of at most `limit` characters, cut at a word with an ellipsis."""
    if len(text) <= limit:
        return text
    return _at_word(text[: limit - 1]) + ELLIPSIS


def shorten_mrkdwn(text: str, limit: int) -> str:
    """The same for Slack's mrkdwn: `&amp;` and `<url|label>` stay whole. Counts what is sent."""
    if len(text) <= limit:
        return text
    return "".join(_fitting(text, limit, len)) + ELLIPSIS


def shorten_html(text: str, limit: int) -> str:
    """The same for Telegram's HTML: entities stay whole and open tags are closed again.

    Counts as Telegram does: what is seen, in UTF-16 units (https://core.telegram.org/bots/api#sendmessage,
    "after entities parsing"; https://core.telegram.org/api/entities#entity-length).
    """
    if 2 * len(text) <= limit or seen_units(text) <= limit:
        return text
    kept = "".join(_fitting(text, limit, _seen_units))
    return kept + ELLIPSIS + _closing(kept)


def seen_units(text: str) -> int:
    """The length of a Telegram HTML text as Telegram counts it."""
    return sum(map(_seen_units, _PIECE.findall(text)))


def _at_word(text: str) -> str:
    """The text up to its last gap, where that leaves more than half of it."""
    if text and NO_BREAK not in text and not text[-1].isspace():
        before, *word = text.rsplit(None, 1)  # as nearly always, and far quicker
        return before if word and len(text) - len(word[0]) - 1 > len(text) // 2 else text
    for index in range(len(text) - 1, len(text) // 2, -1):
        if _is_gap(text[index]):
            return text[:index].rstrip()
    return text.rstrip()


def _is_gap(character: str) -> bool:
    return character.isspace() and character != NO_BREAK


def _fitting(text: str, limit: int, width: Callable[[str], int]) -> list[str]:
    room = limit - 1  # the ellipsis takes one
    kept: list[str] = []
    last_space = 0
    for piece in _PIECE.findall(text):
        room -= width(piece)
        if room < 0:
            break
        if _is_gap(piece):
            last_space = len(kept)
        kept.append(piece)
    if last_space > len(kept) // 2:
        del kept[last_space:]
    while kept and kept[-1].isspace():
        kept.pop()
    return kept


def _seen_units(piece: str) -> int:
    if len(piece) > 1:
        # An entity may stand for a character beyond the 16 bits too; a tag is not seen.
        return 0 if piece[0] == "<" else sum(map(_seen_units, unescape(piece)))
    return 1 if piece <= "\uffff" else 2


def _closing(text: str) -> str:
    stack: list[str] = []
    for closes, tag in _TAG.findall(text):
        if not closes:
            stack.append(tag)
        elif tag in stack:
            while stack.pop() != tag:
                pass
    return "".join(f"</{tag}>" for tag in reversed(stack))
