"""The inbox channel: nothing is sent, the content is kept."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from worker.channels.base import Channel, Target
from worker.channels.inbox import InboxChannel, InboxMessage
from worker.core.content import Content
from worker.core.outcome import Sent, UnsurePolicy

TARGET = Target(UUID(int=1), "", "Ada", "payment.failed", datetime(2026, 11, 21, tzinfo=UTC))


async def test_an_inbox_message_is_sent_at_once_and_may_be_repeated() -> None:
    """The row is the message: settling it is the sending, and doing it twice changes nothing."""
    channel: Channel[InboxMessage] = InboxChannel()

    message = channel.fit((Content("Hi", "Body", "https://x.example", "Go"),), TARGET)

    assert message == InboxMessage("Hi", "Body", "https://x.example", "Go")
    assert await channel.send(message, timeout_seconds=1) == Sent()
    assert channel.abilities.on_unsure is UnsurePolicy.RESEND


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", "/relative"])
def test_a_link_that_could_do_harm_never_reaches_the_inbox(link: str) -> None:
    """No page ever gets a link to follow that is not http, https or mailto."""
    message = InboxChannel().fit((Content("Hi", "Body", link, "Go"),), TARGET)

    assert message == InboxMessage("Hi", "Body", "", "")
