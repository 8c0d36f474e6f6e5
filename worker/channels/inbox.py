"""The inbox inside the product: the notification row itself is the message, so there is nothing to send.

`send` touches nothing. The ledger's settle writes the content onto the notification's row in the same statement that
marks the delivery sent: both happen or neither does, and a repetition writes the same row again.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.channels.base import Abilities, Target
from worker.channels.fitting import safe_link
from worker.core.content import Content, Markup
from worker.core.outcome import Outcome, Sent, UnsurePolicy

_ABILITIES = Abilities(markups=(Markup.PLAIN,), concurrency=32, on_unsure=UnsurePolicy.RESEND)


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """What the inbox shows. Plain text: whoever shows it as HTML escapes it."""

    title: str
    body: str
    link: str
    action: str


class InboxChannel:
    """The notification's own row."""

    @property
    def name(self) -> str:
        """`inbox`."""
        return "inbox"

    @property
    def abilities(self) -> Abilities:
        """Plain text; a repetition meets its own row."""
        return _ABILITIES

    def fit(self, contents: tuple[Content, ...], target: Target) -> InboxMessage:
        """Take the content as it is, without a link that no page may follow."""
        (content,) = contents
        link = safe_link(content.link)
        return InboxMessage(content.title, content.body, link, content.action if link else "")

    async def send(self, message: InboxMessage, *, timeout_seconds: float) -> Outcome:
        """Answer at once: settling the delivery is the sending."""
        return Sent()

    async def check(self) -> str:
        """There is no provider to try."""
        return ""

    async def aclose(self) -> None:
        """There is nothing to close."""
