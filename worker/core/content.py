"""What a message says, rendered for one medium and not yet shaped into its wire form."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Markup(StrEnum):
    """The ways a text can be escaped and marked up. A channel names those it needs, in its order."""

    PLAIN = "plain"
    HTML = "html"
    TELEGRAM = "telegram"
    MRKDWN = "mrkdwn"


class Content(NamedTuple):
    """One text in one markup. `title`, `body` and `action` are already escaped for that markup.

    `title` is one line and never empty. `link` is the raw URL (http, https or mailto; empty where there is none)
    and must be escaped by whoever embeds it; `action` labels it.
    """

    title: str
    body: str
    link: str = ""
    action: str = ""
