"""How long a text becomes with the longest data that may plausibly come, and what each medium makes of that.

Pure. Every channel shortens what is too long for it at a word, so nothing fails; but a title that is always cut, or an
SMS of five parts, is its author's to mend.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from schemas.catalogue import EventInfo
from worker.core import gsm7
from worker.core.check_tags import Flaw
from worker.core.content import Content, Markup
from worker.core.example import EVENT_TIME, longest_data, plausible_data
from worker.core.template import EventView, PersonView, TextKey, Texts, Unrenderable
from worker.core.text_source import Parsed

_MOST_SEGMENTS: Final = 2
_LAST_VALUE: Final = re.compile(r"\{\{ (\w+) \}\}$")
_DETAIL: Final = re.compile(r"(?:, line (\d+))?: (.*)", re.DOTALL)
_LONGEST_NAME: Final = "Raden Ajeng Kusumaningtyas Wijayakusuma Hadiningrat"


@dataclass(frozen=True, slots=True)
class Room:
    """What a channel sends whole, in characters; 0 is no limit. The body's leaves place for a title and a link."""

    markup: Markup
    title: int = 0
    body: int = 0
    action: int = 0
    is_for_longest: bool = True
    """Must the longest data fit? Where little fits at all, usual data must."""


ROOM: Mapping[str, Room] = {
    "email": Room(Markup.PLAIN, title=200),
    "telegram": Room(Markup.TELEGRAM, title=256, body=3500, action=64),
    "slack": Room(Markup.MRKDWN, title=250, body=2500, action=75),
    "whatsapp": Room(Markup.PLAIN, title=200, body=1024, action=25),
    "webpush": Room(Markup.PLAIN, title=50, is_for_longest=False),
}


def flaws_in_sizes(texts: Texts, parsed: Parsed, info: EventInfo, channels: Sequence[str]) -> Iterator[Flaw]:
    """Answer what one text, already among `texts`, has too much of for the channels that it is read on."""
    source = parsed.source
    if "sms" in channels:
        yield from _sms(texts, parsed, info)
    long: dict[tuple[int, str], list[str]] = {}
    for channel in channels:
        room = ROOM.get(channel)
        values = longest_data(info) if room is None or room.is_for_longest else plausible_data(info)
        content = _said(texts, parsed, info, values, channel, room.markup if room else Markup.PLAIN)
        if isinstance(content, Unrenderable):
            yield _unrenderable(parsed, content)
            return
        title = content.title
        if room and len(title) > room.title and (last := _said_again(parsed)):
            values = {**values, last: plausible_data(info)[last] if room.is_for_longest else ""}
            shorter = _said(texts, parsed, info, values, channel, room.markup)
            title = shorter.title if isinstance(shorter, Content) else title
        for line, length, what, limit in _excesses(parsed, title, content, room) if room else ():
            long.setdefault((line, f"the {what} can reach {length} characters"), []).append(f"{channel} shows {limit}")
    for (line, what), media in long.items():
        remedy = "shorten it" if source.channel else f"shorten it, or write {source.locale}.{media[0].split()[0]}.txt"
        yield Flaw(line, f"{what}: {', '.join(media)}", remedy)


def _unrenderable(parsed: Parsed, why: Unrenderable) -> Flaw:
    found = _DETAIL.fullmatch(why.detail.removeprefix(parsed.source.path))
    line, what = (int(found[1] or 1), found[2]) if found else (1, why.detail)
    named = f": {what}" if what else ""
    return Flaw(
        line, f"it cannot be rendered, {why.reason.replace('_', ' ')}{named}", "correct it, or ask for less in it"
    )


def _said_again(parsed: Parsed) -> str:
    """The field a title ends with, if the body has it too: where the title is cut, nothing is lost. Else nothing."""
    last = _LAST_VALUE.search(parsed.headers["title"].text)
    return last[1] if last and last[1] in parsed.fields and f"{{{{ {last[1]}" in parsed.body.text else ""


def _excesses(parsed: Parsed, title: str, content: Content, room: Room) -> Iterator[tuple[int, int, str, int]]:
    """What is longer than its room: the line, the length, the part's name, the room."""
    for part, text, limit in (("title", title, room.title), ("action", content.action, room.action)):
        if limit and len(text) > limit:
            yield parsed.headers[part].line, len(text), part, limit
    if room.body and len(content.body) > room.body:
        yield parsed.body.line, len(content.body), "body", room.body


def _sms(texts: Texts, parsed: Parsed, info: EventInfo) -> Iterator[Flaw]:
    content = _said(texts, parsed, info, plausible_data(info), "sms", Markup.PLAIN)
    if isinstance(content, Unrenderable):
        yield _unrenderable(parsed, content)
        return
    line = " ".join(filter(None, (gsm7.in_gsm7(content.title), content.link)))
    segments = gsm7.segments(line)
    if segments > _MOST_SEGMENTS:
        foreign = "".join(dict.fromkeys(character for character in line if not gsm7.is_gsm7(character)))
        what = f"an SMS takes {segments} parts, {len(line)} characters" + (f" with {foreign!r}" if foreign else "")
        why = ", without characters beyond GSM-7," if foreign else ""
        where = "" if parsed.source.channel else f" in {parsed.source.locale}.sms.txt"
        yield Flaw(parsed.headers["title"].line, what, f"say it in fewer words{why}{where}")


def _said(
    texts: Texts, parsed: Parsed, info: EventInfo, values: Mapping[str, JsonValue], channel: str, markup: Markup
) -> Content | Unrenderable:
    source = parsed.source
    return texts.render(
        TextKey(source.event_type, source.audience, source.locale),
        markup,
        channel,
        values=values,
        person=PersonView(_LONGEST_NAME, source.locale, "Asia/Jakarta"),
        event=EventView(info.type, datetime.fromisoformat(EVENT_TIME)),
    )
