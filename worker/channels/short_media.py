"""What the smallest media show: an SMS of few segments, a web push. Values in, values out; it sends nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from worker.channels.base import Target
from worker.channels.fitting import ELLIPSIS, clean, is_web, one_line, safe_link, shorten
from worker.core import gsm7
from worker.core.content import Content, Markup

MARKUPS = (Markup.PLAIN,)
"""The renderings that both are made from."""

MOST_SEGMENTS = 3
PUSH_TITLE_LIMIT = 50
PUSH_BODY_LIMIT = 120
_LONGEST_SMS = 480  # characters: more than that is more than three segments in any alphabet


@dataclass(frozen=True, slots=True)
class Sms:
    """One text message. `segments` is what it costs: parts of 160 (153) septets, or 70 (67) UTF-16 units."""

    text: str
    alphabet: Literal["gsm7", "ucs2"]
    segments: int


@dataclass(frozen=True, slots=True)
class Push:
    """One web push notification. A later one of the same tag replaces it; `url` is empty or http(s)."""

    title: str
    body: str
    tag: str
    url: str


def fit_sms(content: Content, most_segments: int = MOST_SEGMENTS) -> Sms:
    """Say it in one line: the title and the link, in the GSM alphabet where its words can be said so.

    Of what is too long the words are cut, at a word and with an ellipsis, and the link stays whole; one that would
    leave less than a segment for words is left out, because half a link leads nowhere.
    """
    words = " ".join(one_line(content.title).split())
    link = safe_link(content.link)
    tail = f" {link}" if link and gsm7.segments(link) < most_segments else ""
    if gsm7.is_gsm7(tail):
        words = gsm7.in_gsm7(words)
    text = words + tail
    if len(text) > _LONGEST_SMS or gsm7.segments(text) > most_segments:
        text = _cut(words[:_LONGEST_SMS], tail, most_segments) + tail
    return Sms(text, "gsm7" if gsm7.is_gsm7(text) else "ucs2", gsm7.segments(text))


def fit_push(content: Content, target: Target) -> Push:
    """Shorten title and body to what a phone shows.

    A repeated send replaces itself, and an update what it updates: the tag is the update's, or the delivery's own.

    Its 32 characters are what a push service takes as a Topic (RFC 8030, 5.4).
    """
    link = safe_link(content.link)
    return Push(
        title=shorten(one_line(content.title), PUSH_TITLE_LIMIT),
        body=shorten(clean(content.body).strip(), PUSH_BODY_LIMIT),
        tag=(target.update_id or target.delivery_id).hex,
        url=link if is_web(link) else "",
    )


def _cut(words: str, tail: str, most_segments: int) -> str:
    """The longest beginning of the words that fits together with an ellipsis and the tail."""
    ellipsis = "..." if gsm7.is_gsm7(words + tail) else ELLIPSIS
    low, high = 0, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        if gsm7.segments(words[:middle] + ellipsis + tail) <= most_segments:
            low = middle
        else:
            high = middle - 1
    kept = words[:low]
    at_word = kept.rfind(" ")
    if low < len(words) and words[low] != " " and at_word > low // 2:
        kept = kept[:at_word]
    return kept.rstrip() + ellipsis
