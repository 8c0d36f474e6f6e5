"""The inbox inside the product: the notification row itself is the message, so there is nothing to send.

`send` touches nothing. The ledger's settle writes the content onto the notification's row in the same statement that
marks the delivery sent: both happen or neither does, and a repetition writes the same row again.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.channels.base import PLAIN, Abilities, Target, Trimmings
from worker.channels.fitting import one_line, safe_link, safe_picture, shorten
from worker.core.content import Content, Markup
from worker.core.outcome import Outcome, Sent, UnsurePolicy

_WORD_LIMIT = 200
_ABILITIES = Abilities(markups=(Markup.PLAIN,), concurrency=32, on_unsure=UnsurePolicy.RESEND)


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """What the inbox shows. Plain text: whoever shows it as HTML escapes it. Its pictures are http or https."""

    title: str
    body: str
    link: str
    action: str
    trimmings: Trimmings = PLAIN


class InboxChannel:
    """The notification's own row."""

    @property
    def name(self) -> str:
        """`inbox`."""
        return "inbox"

    @property
    def provider(self) -> str:
        """Nobody but ourselves."""
        return ""

    @property
    def abilities(self) -> Abilities:
        """Plain text; a repetition meets its own row."""
        return _ABILITIES

    def fit(self, contents: tuple[Content, ...], target: Target) -> InboxMessage:
        """Take the content as it is, without a link that no page may follow."""
        (content,) = contents
        link = safe_link(content.link)
        action = content.action if link else ""
        return InboxMessage(content.title, content.body, link, action, _trimmed(target.trimmings))

    async def send(self, message: InboxMessage, *, timeout_seconds: float) -> Outcome:
        """Answer at once: settling the delivery is the sending."""
        return Sent()

    async def check(self) -> str:
        """There is no provider to try."""
        return ""

    async def aclose(self) -> None:
        """There is nothing to close."""


def _trimmed(given: Trimmings) -> Trimmings:
    if given is PLAIN:
        return given
    return Trimmings(
        icon=shorten(one_line(given.icon), _WORD_LIMIT),
        image=safe_picture(given.image),
        actor=shorten(one_line(given.actor), _WORD_LIMIT),
        actor_image=safe_picture(given.actor_image),
    )
