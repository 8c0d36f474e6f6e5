"""Providers on the wire that repeat single words of what they were given, in plain words or as they stood there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest

from tests.integration.channels.wire import Answers, HttpServer, SmtpServer, running
from worker.channels.base import Channel, Target
from worker.channels.email import EmailChannel
from worker.channels.slack import SlackChannel
from worker.channels.telegram import TelegramChannel
from worker.core.content import Content
from worker.core.outcome import Deferred, Refused
from worker.pipeline.send import send

TITLE, BODY, LINK = "Kode K7Q9", "Halo Zoë,\nPIN 4711\nanda: Łódź", "https://shop.example/o/swordfish"
CONTENT = Content(TITLE, BODY, LINK, "Bayar")
PRIVATE = ("K7Q9", "Zoë", "4711", "swordfish", "Łódź", "łódź", "Wm/Dqw", "ada", "1042", "C0QZ", "Bayar")


def target(address: str) -> Target:
    return Target(UUID(int=1), address, "Zoë", "payment.failed", datetime(2026, 11, 21, tzinfo=UTC))


async def detail_of(channel: Channel[Any], address: str) -> str:
    message = channel.fit((CONTENT,) * len(channel.abilities.markups), target(address))
    assert not isinstance(message, Refused)
    try:
        outcome = await send(channel, message)
    finally:
        await channel.aclose()
    assert isinstance(outcome, Refused | Deferred)
    return outcome.detail


@pytest.mark.parametrize("word", PRIVATE)
async def test_a_mail_server_cannot_tell_a_word_of_a_mail(word: str) -> None:
    """Though the mail has it in base64, in an encoded header or in its address."""
    server = SmtpServer({"BODY": f"550 5.7.1 blocked: {word}, by our policy"})

    async with running(server):
        channel = EmailChannel(f"smtp://127.0.0.1:{server.port}", "Kabar <no-reply@kabar.example>")
        detail = await detail_of(channel, "ada@c0qz.1042.example")

    assert detail == "550 5.7.1 blocked: <text>, by our policy"


@pytest.mark.parametrize("word", PRIVATE)
async def test_telegram_cannot_tell_a_word_of_a_message(word: str) -> None:
    """Nor the chat's number, nor what stands on the button or behind it."""
    server = HttpServer([Answers(400, orjson.dumps({"description": f"Bad Request: {word} is too long"}))])

    async with running(server):
        detail = await detail_of(TelegramChannel("1:AAH", api_url=server.url), "1042")

    is_ours = word not in ("Wm/Dqw", "ada", "C0QZ")
    assert detail == f"400 Bad Request: {'<text>' if is_ours else word} is too long"


@pytest.mark.parametrize("word", PRIVATE)
async def test_slack_cannot_tell_a_word_of_a_message(word: str) -> None:
    """Nor the id of the channel."""
    server = HttpServer([Answers(200, orjson.dumps({"ok": False, "error": f"invalid_blocks: {word}"}))])

    async with running(server):
        channel = SlackChannel(token="xoxb-1", api_url=f"{server.url}/api")
        detail = await detail_of(channel, "C0QZ")

    is_ours = word not in ("Wm/Dqw", "ada", "1042")
    assert detail == f"200 invalid_blocks: {'<text>' if is_ours else word}"


async def test_a_provider_that_says_why_is_understood() -> None:
    """The message's own words are not the reason."""
    server = SmtpServer({"RCPT": "452 4.2.2 <ada@example.org> Mailbox full"})

    async with running(server):
        channel = EmailChannel(f"smtp://127.0.0.1:{server.port}", "Kabar <no-reply@kabar.example>")

        assert await detail_of(channel, "ada@example.org") == "452 4.2.2 <<address>> Mailbox full"
