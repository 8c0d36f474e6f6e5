"""Telegram against a Bot API that answers, refuses, hangs and breaks off."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integration.channels.wire import Answers, Fault, HttpServer, closed_port, running
from worker.channels.base import Target
from worker.channels.telegram import TelegramChannel, TelegramMessage
from worker.core.content import Content
from worker.core.outcome import Deferred, Outcome, Refused, Sent, Unsure

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
CONTENT = Content(
    "Payment &lt;failed&gt;", "Dear <b>Ada</b> &amp; co", "https://shop.example/pay?a=1&b=2", "Pay &amp; go"
)
TAKEN = Answers(200, b'{"ok":true,"result":{"message_id":57}}')


def target(address: str = "4711") -> Target:
    return Target(UUID(int=1), address, "Ada", "payment.failed", datetime(2026, 11, 21, tzinfo=UTC))


def error(status: int, description: str, **parameters: int) -> Answers:
    body = {"ok": False, "error_code": status, "description": description, "parameters": parameters}
    return Answers(status, orjson.dumps(body))


def fitted(channel: TelegramChannel, content: Content = CONTENT) -> TelegramMessage:
    message = channel.fit((content,), target())
    assert isinstance(message, TelegramMessage)
    return message


@asynccontextmanager
async def channel_to(server: HttpServer) -> AsyncIterator[TelegramChannel]:
    async with running(server):
        channel = TelegramChannel(TOKEN, api_url=server.url)
        try:
            yield channel
        finally:
            await channel.aclose()


async def outcome_of(*steps: Answers | Fault, timeout_seconds: float = 5) -> Outcome:
    async with channel_to(HttpServer(steps)) as channel:
        return await channel.send(fitted(channel), timeout_seconds=timeout_seconds)


async def test_a_message_arrives_with_title_text_and_button() -> None:
    """The title is bold, the text keeps its markup, and the link is a button with a readable label."""
    server = HttpServer([TAKEN])

    async with channel_to(server) as channel:
        outcome = await channel.send(fitted(channel), timeout_seconds=5)

    assert outcome == Sent("57")
    (request,) = server.requests
    assert request.path == f"/bot{TOKEN}/sendMessage"
    assert request.headers["content-type"].startswith("application/json")
    assert json.loads(request.body) == {
        "chat_id": 4711,
        "text": "<b>Payment &lt;failed&gt;</b>\n\nDear <b>Ada</b> &amp; co",
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
        "reply_markup": {"inline_keyboard": [[{"text": "Pay & go", "url": "https://shop.example/pay?a=1&b=2"}]]},
    }


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            error(403, "Forbidden: bot was blocked by the user"),
            Refused("blocked", "403 Forbidden: bot was blocked by the user", suppress=True),
        ),
        (
            error(400, "Bad Request: chat not found"),
            Refused("address_unknown", "400 Bad Request: chat not found", suppress=True),
        ),
        (
            error(400, "Bad Request: can't parse entities"),
            Refused("message_rejected", "400 Bad Request: can't parse entities", fault="ours"),
        ),
        (
            error(401, "Unauthorized"),
            Deferred("credentials_rejected", "401 Unauthorized", costs_attempt=False, scope="account"),
        ),
        (
            error(404, "Not Found"),
            Deferred("credentials_rejected", "404 Not Found", costs_attempt=False, scope="account"),
        ),
        (
            error(429, "Too Many Requests: retry after 14", retry_after=14),
            Deferred(
                "rate_limited",
                "429 Too Many Requests: retry after 14",
                timedelta(seconds=14),
                costs_attempt=False,
                scope="address",
            ),
        ),
        (
            Answers(429, b"", {"Retry-After": "3"}),
            Deferred("rate_limited", "429", timedelta(seconds=3), costs_attempt=False, scope="address"),
        ),
        (error(500, "Internal Server Error"), Deferred("provider_error", "500 Internal Server Error")),
        (
            Answers(502, b"<html>Bad Gateway</html>"),
            Deferred("provider_error", "502", costs_attempt=False, scope="account"),
        ),
        (Answers(302, b"", {"Location": "/elsewhere"}), Deferred("provider_error", "302")),
        (Answers(200, b"<html>hotel login</html>"), Unsure("answer_unreadable", "200")),
        (Answers(200, b'{"ok":true,"res', breaks_off=True), Unsure("answer_unreadable", "200")),
        (Answers(403, b'{"ok"', breaks_off=True), Refused("blocked", "403", suppress=True)),
        (Answers(200, b'{"ok":true,"result":{"message_id":"1\\u0000' + b"2" * 9_000 + b'"}}'), Sent("1 " + "2" * 62)),
    ],
)
async def test_every_answer_has_its_outcome(answer: Answers, expected: Outcome) -> None:
    """What the Bot API says decides whether the message is over, waits, or needs a human."""
    assert await outcome_of(answer) == expected


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.HANG_UP, Fault.RESET])
async def test_silence_after_the_request_is_unsure(fault: Fault) -> None:
    """Once the request was on the wire nobody can know whether the message was posted."""
    outcome = await outcome_of(fault, timeout_seconds=0.5 if fault is Fault.HANG else 5)

    assert isinstance(outcome, Unsure)
    assert outcome.reason == "no_answer"


async def test_an_unreachable_api_is_an_outage_and_the_check_says_so() -> None:
    """A refused connection costs no attempt and lets the account rest."""
    channel = TelegramChannel(TOKEN, api_url=f"http://127.0.0.1:{closed_port()}")

    outcome = await channel.send(fitted(channel), timeout_seconds=5)
    advice = await channel.check()
    await channel.aclose()

    assert isinstance(outcome, Deferred)
    assert (outcome.reason, outcome.costs_attempt, outcome.scope) == ("provider_unreachable", False, "account")
    assert "Check the API's URL" in advice
    assert TOKEN not in outcome.detail + advice


async def test_a_group_that_became_a_supergroup_is_followed_once() -> None:
    """The first number took nothing, so the message goes to the new one in the same try."""
    server = HttpServer([error(400, "Bad Request: group chat was upgraded", migrate_to_chat_id=-1009), TAKEN])

    async with channel_to(server) as channel:
        outcome = await channel.send(fitted(channel), timeout_seconds=5)

    assert outcome == Sent("57")
    assert [json.loads(request.body)["chat_id"] for request in server.requests] == [4711, -1009]


async def test_the_token_is_never_shown() -> None:
    """Even an API that repeats the token cannot bring it into the ledger."""
    outcome = await outcome_of(error(400, f"Bad Request: /bot{TOKEN}/sendMessage and {TOKEN[:12]}"))

    assert isinstance(outcome, Refused)
    assert TOKEN not in outcome.detail
    assert TOKEN[-10:] not in outcome.detail


async def test_the_check_knows_a_good_bot_from_a_bad_one() -> None:
    """The doctor asks getMe and says what to do."""
    async with channel_to(HttpServer([Answers(200, b'{"ok":true,"result":{}}'), error(401, "no")])) as channel:
        assert await channel.check() == ""
        assert "Check the bot's token" in await channel.check()


async def test_a_closed_idle_connection_costs_the_next_message_nothing() -> None:
    """A server that hangs up between two requests is called again."""
    server = HttpServer([TAKEN])

    async with channel_to(server) as channel:
        await channel.send(fitted(channel), timeout_seconds=5)
        server.writers[0].close()
        await server.writers[0].wait_closed()
        # A round trip over another connection: what was sent before on loopback has been seen by then.
        async with channel_to(HttpServer([TAKEN])) as other:
            await other.check()
        outcome = await channel.send(fitted(channel), timeout_seconds=5)

    assert outcome == Sent("57")
    assert server.connections == 2


@pytest.mark.parametrize("address", ["", "0", "12x", "@a", "@a b", "ada", "1\n2", "٣٤", "@x\r\ny", "1" * 30])
def test_what_is_no_chat_is_refused(address: str) -> None:
    """Only numbers and public names can be addressed."""
    outcome = TelegramChannel(TOKEN).fit((CONTENT,), target(address))

    assert isinstance(outcome, Refused)
    assert outcome.reason == "address_invalid"


@pytest.mark.parametrize("token", ["", "abc", "1:a/../b", "1:a b", "1:a\n"])
def test_a_wrong_token_stops_the_start(token: str) -> None:
    """A token that would change the URL is no token."""
    with pytest.raises(ValueError, match="BotFather"):
        TelegramChannel(token)


def test_a_long_text_is_shortened_within_telegrams_limit() -> None:
    """4096 characters as Telegram counts them, with every tag closed."""
    message = fitted(TelegramChannel(TOKEN), Content("T" * 400, "<b>" + "word 😀 &amp; " * 800 + "</b>"))

    visible = message.text.replace("<b>", "").replace("</b>", "").replace("&amp;", "&")
    assert 3900 < len(visible.encode("utf-16-le")) // 2 <= 4096
    assert message.text.endswith("…</b>")
    assert message.text.count("<b>") == message.text.count("</b>")


@pytest.mark.parametrize(
    ("link", "url", "shown"),
    [
        ("javascript:alert(1)", "", ""),
        ("mailto:ada@example.org?subject=a&body=b", "", "\n\nWrite: ada@example.org?subject=a&amp;body=b"),
        ("https://x.example", "https://x.example", ""),
    ],
)
def test_only_web_links_become_buttons(link: str, url: str, shown: str) -> None:
    """Telegram's buttons open web pages; a mail address is shown; anything else is dropped."""
    message = fitted(TelegramChannel(TOKEN), Content("Hi", "Body", link, "Write"))

    assert (message.url, message.text) == (url, f"<b>Hi</b>\n\nBody{shown}")


@given(st.text(), st.text(max_size=300), st.text(), st.text(), st.text(max_size=40))
def test_any_content_fits_or_is_refused(title: str, body: str, link: str, action: str, address: str) -> None:
    """No text makes the message something that cannot be sent."""
    channel = TelegramChannel(TOKEN)

    for chat in (address, "4711"):
        message: Any = channel.fit((Content(title, body, link, action),), target(chat))

        assert isinstance(message, TelegramMessage | Refused)
        if isinstance(message, TelegramMessage):
            assert "\0" not in message.text + message.label
            (message.text + message.label + message.url).encode()
            assert message.url == "" or message.url.lower().startswith(("http://", "https://"))
