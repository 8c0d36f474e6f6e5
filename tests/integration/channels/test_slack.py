"""Slack against webhooks and a Web API that answer, refuse, hang and break off."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integration.channels.wire import Answers, Fault, HttpServer, closed_port, running
from worker.channels.base import Target
from worker.channels.slack import SlackChannel, SlackMessage
from worker.core.content import Content
from worker.core.outcome import Deferred, Outcome, Refused, Sent, Unsure

TOKEN = "xoxb-263594206564-FGqddMF8t08v8N7Oq4i57vs1"
HOOK = "/services/T024BE7LD/B024BE7LH/QkIyGvwbKmVhCcMRnKPdrEHA"
CONTENT = Content("Payment &lt;failed&gt;", "Dear Ada &amp; co", "https://shop.example/pay?a=1&b=2", "Pay &amp; go")


def target(address: str) -> Target:
    return Target(UUID(int=1), address, "Ada", "payment.failed", datetime(2026, 11, 21, tzinfo=UTC))


def fitted(channel: SlackChannel, address: str, content: Content = CONTENT) -> SlackMessage:
    message = channel.fit((content,), target(address))
    assert isinstance(message, SlackMessage)
    return message


@asynccontextmanager
async def channel_to(server: HttpServer) -> AsyncIterator[SlackChannel]:
    async with running(server):
        channel = SlackChannel(token=TOKEN, api_url=f"{server.url}/api", webhook_origins=(server.url,))
        try:
            yield channel
        finally:
            await channel.aclose()


async def by_webhook(*steps: Answers | Fault, timeout_seconds: float = 5) -> Outcome:
    server = HttpServer(steps)
    async with channel_to(server) as channel:
        return await channel.send(fitted(channel, server.url + HOOK), timeout_seconds=timeout_seconds)


async def by_method(*steps: Answers | Fault, timeout_seconds: float = 5) -> Outcome:
    async with channel_to(HttpServer(steps)) as channel:
        return await channel.send(fitted(channel, "C024BE91L"), timeout_seconds=timeout_seconds)


def no(word: str) -> Answers:
    return Answers(200, orjson.dumps({"ok": False, "error": word}))


async def test_a_webhook_gets_blocks_with_a_button_and_a_fallback() -> None:
    """Title, text and button arrive as Block Kit, with a plain text for screen readers."""
    server = HttpServer([Answers(200, b"ok")])

    async with channel_to(server) as channel:
        outcome = await channel.send(fitted(channel, server.url + HOOK), timeout_seconds=5)

    assert outcome == Sent()
    (request,) = server.requests
    assert request.path == HOOK
    assert "authorization" not in request.headers
    assert json.loads(request.body) == {
        "text": "Payment &lt;failed&gt;\nDear Ada &amp; co",
        "blocks": [
            {
                "type": "section",
                "text": {"type": "mrkdwn", "text": "*Payment &lt;failed&gt;*\n\nDear Ada &amp; co"},
            },
            {
                "type": "actions",
                "elements": [
                    {
                        "type": "button",
                        "url": "https://shop.example/pay?a=1&b=2",
                        "text": {"type": "plain_text", "text": "Pay & go", "emoji": True},
                    }
                ],
            },
        ],
        "unfurl_links": False,
        "unfurl_media": False,
    }


async def test_an_id_is_posted_to_by_the_web_api() -> None:
    """With a token an id of a channel or person is enough, and the message's timestamp is the reference."""
    server = HttpServer([Answers(200, b'{"ok":true,"channel":"C024BE91L","ts":"1763700000.000100"}')])

    async with channel_to(server) as channel:
        outcome = await channel.send(fitted(channel, "C024BE91L"), timeout_seconds=5)

    assert outcome == Sent("1763700000.000100")
    (request,) = server.requests
    assert request.path == "/api/chat.postMessage"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert json.loads(request.body)["channel"] == "C024BE91L"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answers(404, b"no_service"), Refused("address_unknown", "404 no_service", suppress=True)),
        (Answers(410, b"channel_is_archived"), Refused("address_unknown", "410 channel_is_archived", suppress=True)),
        (Answers(403, b"invalid_token"), Refused("address_unknown", "403 invalid_token", suppress=True)),
        (Answers(403, b"action_prohibited"), Refused("rejected_by_policy", "403 action_prohibited")),
        (Answers(400, b"invalid_blocks"), Refused("message_rejected", "400 invalid_blocks", fault="ours")),
        (Answers(400, b"invalid_payload"), Refused("message_rejected", "400 invalid_payload", fault="ours")),
        (
            Answers(429, b"rate_limited", {"Retry-After": "30"}),
            Deferred("rate_limited", "429 rate_limited", timedelta(seconds=30), costs_attempt=False, scope="address"),
        ),
        (
            Answers(429, b"", {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
            Deferred("rate_limited", "429", costs_attempt=False, scope="address"),
        ),
        (Answers(500, b"rollup_error"), Deferred("provider_error", "500 rollup_error")),
        (
            Answers(503, b"", {"Retry-After": "60"}),
            Deferred("provider_error", "503", timedelta(seconds=60), costs_attempt=False, scope="account"),
        ),
        (Answers(308, b"", {"Location": "http://127.0.0.1/evil"}), Deferred("provider_error", "308")),
        (Answers(200, b"o", breaks_off=True), Sent()),
    ],
)
async def test_every_answer_of_a_webhook_has_its_outcome(answer: Answers, expected: Outcome) -> None:
    """A gone webhook is suppressed, a limit waits, a wrong message needs a human."""
    assert await by_webhook(answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (no("channel_not_found"), Refused("address_unknown", "200 channel_not_found", suppress=True)),
        (no("is_archived"), Refused("address_unknown", "200 is_archived", suppress=True)),
        (no("user_disabled"), Refused("address_unknown", "200 user_disabled", suppress=True)),
        (no("not_in_channel"), Refused("rejected_by_policy", "200 not_in_channel")),
        (no("invalid_blocks"), Refused("message_rejected", "200 invalid_blocks", fault="ours")),
        (no("internal_error"), Deferred("provider_error", "200 internal_error")),
        (
            no("token_revoked"),
            Deferred("credentials_rejected", "200 token_revoked", costs_attempt=False, scope="account"),
        ),
        (
            no("invalid_auth"),
            Deferred("credentials_rejected", "200 invalid_auth", costs_attempt=False, scope="account"),
        ),
        (
            Answers(429, b'{"ok":false,"error":"ratelimited"}', {"Retry-After": "7"}),
            Deferred("rate_limited", "429 ratelimited", timedelta(seconds=7), costs_attempt=False, scope="address"),
        ),
        (Answers(503, b""), Deferred("provider_error", "503", costs_attempt=False, scope="account")),
        (Answers(200, b'{"ok":tr', breaks_off=True), Unsure("answer_unreadable", "200")),
        (Answers(200, b'{"ok":true,"ts":"1"}' + b" " * 100_000), Sent("1")),
        (Answers(200, b'{"ok":true,"ts":"1\\u0000' + b"2" * 9_000 + b'"}'), Sent("1 " + "2" * 62)),
    ],
)
async def test_every_answer_of_the_web_api_has_its_outcome(answer: Answers, expected: Outcome) -> None:
    """The Web API says no with status 200; its word decides."""
    assert await by_method(answer) == expected


@pytest.mark.parametrize("send", [by_webhook, by_method])
@pytest.mark.parametrize("fault", [Fault.HANG, Fault.HANG_UP, Fault.RESET])
async def test_silence_after_the_request_is_unsure(send: object, fault: Fault) -> None:
    """Once the request was on the wire nobody can know whether the message was posted."""
    assert callable(send)

    outcome = await send(fault, timeout_seconds=0.5 if fault is Fault.HANG else 5)

    assert isinstance(outcome, Unsure)
    assert outcome.reason == "no_answer"


async def test_a_status_counts_even_when_its_body_never_ends() -> None:
    """A status code is an answer, however slow the rest."""
    server = HttpServer([Answers(404, b"no_service", never_ends=True)])

    async with channel_to(server) as channel:
        outcome = await channel.send(fitted(channel, server.url + HOOK), timeout_seconds=0.5)

    assert isinstance(outcome, Refused)
    assert outcome.suppress


async def test_an_unreachable_slack_is_an_outage() -> None:
    """A refused connection costs no attempt and lets the account rest."""
    origin = f"http://127.0.0.1:{closed_port()}"
    channel = SlackChannel(token=TOKEN, api_url=origin, webhook_origins=(origin,))

    outcomes = [
        await channel.send(fitted(channel, address), timeout_seconds=5) for address in (origin + HOOK, "C024BE91L")
    ]
    advice = await channel.check()
    await channel.aclose()

    for outcome in outcomes:
        assert isinstance(outcome, Deferred)
        assert (outcome.reason, outcome.costs_attempt, outcome.scope) == ("provider_unreachable", False, "account")
    assert "Check the API's URL" in advice


async def test_redirects_are_not_followed() -> None:
    """Whoever answers for Slack cannot send us to another host."""
    elsewhere = HttpServer([Answers(200, b"ok")])
    async with running(elsewhere):
        outcome = await by_webhook(Answers(307, b"", {"Location": f"{elsewhere.url}{HOOK}"}))

    assert isinstance(outcome, Deferred)
    assert elsewhere.requests == []


async def test_neither_webhook_nor_token_is_ever_shown() -> None:
    """Even a provider that repeats our secrets cannot bring them into the ledger."""
    outcomes = [
        await by_webhook(Answers(400, f"bad {HOOK} and {TOKEN}".encode())),
        await by_method(no(f"bad {TOKEN} in C024BE91L")),
    ]

    for outcome in outcomes:
        assert isinstance(outcome, Refused)
        assert not any(secret in outcome.detail for secret in (TOKEN, HOOK, "QkIyGvwbKmVhCcMRnKPdrEHA", "C024BE91L"))


async def test_the_check_asks_who_we_are() -> None:
    """The doctor tries the token, and a channel without one has nothing to try."""
    async with channel_to(HttpServer([Answers(200, b'{"ok":true}'), no("invalid_auth")])) as channel:
        assert await channel.check() == ""
        assert "Check the bot's token" in await channel.check()
    assert await SlackChannel().check() == ""


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "http://hooks.slack.com/services/T/B/x",
        "https://hooks.slack.com",
        "https://hooks.slack.com/",
        "https://hooks.slack.com.evil.example/services/x",
        "https://hooks.slack.com@evil.example/services/x",
        "https://evil.example\\@hooks.slack.com/services/x",
        "https://hooks.slack.com:444/services/x",
        "https://user@hooks.slack.com/services/x",
        "https://hooks.slack.com/services/x?y=http://evil.example",
        "https://hooks.slack.com/services/x#y",
        "https://hooks.slack.com/services/x\r\nHost: evil.example",
        "https://hooks.slack.com/\0",
        "https://169.254.169.254/latest",
        "https://[::1",
    ],
)
def test_only_webhooks_of_allowed_origins_are_contacted(address: str) -> None:
    """An address cannot make us call another host."""
    outcome = SlackChannel(token=TOKEN).fit((CONTENT,), target(address))

    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.fault, outcome.suppress) == ("address_not_allowed", "person", False)


def test_an_id_without_a_token_is_our_own_fault() -> None:
    """The address is good; the setting is missing, so a human must look."""
    assert SlackChannel().fit((CONTENT,), target("C024BE91L")) == Refused(
        "token_missing", "an id as address needs a bot's token", fault="ours"
    )


@pytest.mark.parametrize("origin", ["", "hooks.slack.com", "https://hooks.slack.com/", "https://*.slack.com"])
def test_a_wrong_origin_stops_the_start(origin: str) -> None:
    """An allow-list that cannot match, or matches too much, is refused at once."""
    with pytest.raises(ValueError, match="origins"):
        SlackChannel(webhook_origins=(origin,))


@pytest.mark.parametrize("token", ["xoxb a", "xoxb\r\nX: y", "xöxb"])
def test_a_wrong_token_stops_the_start(token: str) -> None:
    """A token that would change the headers is no token."""
    with pytest.raises(ValueError, match="token"):
        SlackChannel(token=token)


def test_a_long_text_is_shortened_within_slacks_limits() -> None:
    """Sections hold 3000 characters and buttons 75; entities stay whole."""
    content = Content("T" * 400, "word &amp; " * 800, "https://x.example", "L" * 100)

    payload = json.loads(fitted(SlackChannel(token=TOKEN), "C024BE91L", content).payload)

    section, actions = payload["blocks"]
    assert 2900 < len(section["text"]["text"]) <= 3000
    assert section["text"]["text"].endswith("…")
    assert len(actions["elements"][0]["text"]["text"]) == 75


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("javascript:alert(1)", "*Hi*\n\nBody"),
        ("mailto:ada@example.org?a=1&b=2", "*Hi*\n\nBody\n\n<mailto:ada@example.org?a=1&amp;b=2|Write>"),
    ],
)
def test_only_web_links_become_buttons(link: str, shown: str) -> None:
    """Slack's buttons open web pages; a mail address becomes a link in the text; anything else is dropped."""
    payload = json.loads(fitted(SlackChannel(token=TOKEN), "C1X", Content("Hi", "Body", link, "Write")).payload)

    assert [block["type"] for block in payload["blocks"]] == ["section"]
    assert payload["blocks"][0]["text"]["text"] == shown


@given(st.text(), st.text(max_size=300), st.text(), st.text(), st.text(max_size=40))
def test_any_content_fits_or_is_refused(title: str, body: str, link: str, action: str, address: str) -> None:
    """No text makes the message something that cannot be sent."""
    channel = SlackChannel(token=TOKEN)

    for place in (address, "C024BE91L"):
        message = channel.fit((Content(title, body, link, action),), target(place))

        assert isinstance(message, SlackMessage | Refused)
        if isinstance(message, SlackMessage):
            assert "\\u0000" not in message.payload.decode()
