"""Arrivals as the pages show them: rows of lists, conversations, bubbles, blocks. Pure; text only, or safe HTML.

Whatever is `Markup` here was written by this package and never copied out of a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson
from minijinja import Markup

from worker.dev.simulator.arrivals import Arrival
from worker.dev.simulator.slack_markup import render_mrkdwn, render_plain, safe_link
from worker.dev.simulator.telegram_markup import Formatted, read_markup


@dataclass(frozen=True, slots=True)
class Row:
    """One arrival in a list. `day` is empty for today's."""

    number: int
    channel: str
    to: str
    name: str
    title: str
    glance: str
    at: str
    day: str
    clock: str
    delivery_id: str
    href: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """All arrivals at one address. `name` is what a person would call it."""

    to: str
    name: str
    count: int
    newest: Row


@dataclass(frozen=True, slots=True)
class Button:
    """A button that leads to a link, which is empty where it is none to follow."""

    label: str
    link: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """One part of a message: `kind` is text, header, divider, context, fields, actions or image."""

    kind: str
    html: Markup = Markup("")  # noqa: RUF009 - immutable, as every str
    parts: tuple[Markup, ...] = ()
    buttons: tuple[Button, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One message in a conversation."""

    row: Row
    blocks: tuple[Block, ...]


def rows_of(arrivals: Sequence[Arrival]) -> list[Row]:
    """Answer the arrivals as rows, in the order given. Times are those of this machine's zone."""
    return [_row(arrival) for arrival in arrivals]


def conversations(arrivals: Sequence[Arrival]) -> list[Conversation]:
    """Group arrivals by address, the one with the newest arrival first."""
    by_address: dict[str, list[Arrival]] = {}
    for arrival in reversed(arrivals):
        by_address.setdefault(arrival.to, []).append(arrival)
    return [Conversation(to, name_of(to), len(group), newest=_row(group[0])) for to, group in by_address.items()]


def messages_in(arrivals: Sequence[Arrival]) -> list[Message]:
    """Answer the messages of one conversation, newest first."""
    return [
        Message(_row(arrival), _telegram_blocks(arrival) if arrival.channel == "telegram" else _slack_blocks(arrival))
        for arrival in reversed(arrivals)
    ]


def name_of(address: str) -> str:
    """Answer what a person would call an address: a webhook by its last part, the others as they are."""
    return f"#{address.rsplit('/', 1)[-1]}" if "/slack/services/" in address else address


def _row(arrival: Arrival) -> Row:
    local = arrival.at.astimezone()
    lines = [line.strip() for line in arrival.text.splitlines() if line.strip()]
    rest = lines[1:] if lines and lines[0] == arrival.title.strip() else lines
    chat = f"/{arrival.channel}?to={quote(arrival.to, safe='')}"
    return Row(
        number=arrival.number,
        channel=arrival.channel,
        to=arrival.to,
        name=name_of(arrival.to),
        title=arrival.title,
        glance=" ".join(rest)[:200],
        at=local.isoformat(timespec="milliseconds"),
        day="" if local.date() == local.now().date() else local.strftime("%d %b"),
        clock=local.strftime("%H:%M:%S"),
        delivery_id=str(arrival.delivery_id or ""),
        href=f"/mail/{arrival.number}" if arrival.channel == "email" else chat,
    )


def _telegram_blocks(arrival: Arrival) -> tuple[Block, ...]:
    read = read_markup(arrival.html) if arrival.html else None
    html = Markup(read.safe_html.strip()) if isinstance(read, Formatted) else Markup(render_plain(arrival.text))
    keyboard = (_payload(arrival).get("reply_markup") or {}).get("inline_keyboard", [])
    rows = [tuple(Button(button["text"], safe_link(button["url"])) for button in row) for row in keyboard]
    return (Block("text", html), *(Block("actions", buttons=row) for row in rows))


def _slack_blocks(arrival: Arrival) -> tuple[Block, ...]:
    payload = _payload(arrival)
    blocks = tuple(part for block in payload.get("blocks") or [] for part in _slack_block(block))
    return blocks or (Block("text", Markup(render_mrkdwn(str(payload.get("text", ""))))),)


def _slack_block(block: dict[str, Any]) -> list[Block]:
    match block["type"]:
        case "section":
            parts = [Block("text", _slack_text(block["text"]))] if "text" in block else []
            if block.get("fields"):
                parts.append(Block("fields", parts=tuple(_slack_text(field) for field in block["fields"])))
            return [*parts, *_elements("actions", [block["accessory"]] if "accessory" in block else [])]
        case "header":
            return [Block("header", _slack_text(block["text"]))]
        case "image":
            return [Block("image", Markup(render_plain(block["alt_text"])))]
        case "divider":
            return [Block("divider")]
        case kind:
            return _elements(kind, block["elements"])


def _elements(kind: str, elements: list[dict[str, Any]]) -> list[Block]:
    buttons = tuple(
        Button(element["text"]["text"], safe_link(element.get("url")), str(element.get("style", "")))
        for element in elements
        if element["type"] == "button"
    )
    images = [Block("image", Markup(render_plain(item["alt_text"]))) for item in elements if item["type"] == "image"]
    texts = tuple(_slack_text(element) for element in elements if element["type"] in {"mrkdwn", "plain_text"})
    own = [Block(kind, parts=texts, buttons=buttons)] if texts or buttons else []
    return [*images, *own]


def _slack_text(text: dict[str, Any]) -> Markup:
    return Markup(render_mrkdwn(text["text"]) if text["type"] == "mrkdwn" else render_plain(text["text"]))


def _payload(arrival: Arrival) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(arrival.raw)
    return found
