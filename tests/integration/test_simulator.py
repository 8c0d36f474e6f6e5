"""The fake providers answer as real ones do, fail on demand, and show hostile messages without running them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID

import aiosmtplib
import pytest
from aiohttp import ClientConnectionError, ClientSession

from worker.dev.simulator import Simulator
from worker.dev.simulator.arrivals import KEPT_PER_CHANNEL, Arrivals
from worker.dev.simulator.behaviour import Gate, Treatment

DELIVERY = UUID("6f2f1c1e-58a4-5b0c-9d55-0f5d2f3a7b11")
TOKEN = "xoxb-1"
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>' & </pre></textarea>{{ 7 * 7 }}"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    simulator = Simulator()
    await simulator.start()
    yield simulator
    await simulator.aclose()


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def test_a_mail_arrives_with_its_subject_bodies_and_delivery(simulator: Simulator) -> None:
    """A mail sent to the simulator can be read there as it was written."""
    await _send_mail(simulator, _mail("ayu@example.com", "Pembayaran gagal 💳", "Teks\n.titik\n", "<p>Halo é</p>"))

    [arrival] = await simulator.wait_for(1, 5, "email")

    assert (arrival.to, arrival.title) == ("ayu@example.com", "Pembayaran gagal 💳")
    assert arrival.text == "Teks\n.titik\n"
    assert arrival.html == "<p>Halo é</p>\n"
    assert arrival.delivery_id == DELIVERY
    assert arrival.raw.startswith(b"From: ")
    assert simulator.arrived("telegram") == simulator.arrived("slack") == []


async def test_each_recipient_of_a_mail_gets_its_own_copy(simulator: Simulator) -> None:
    """A mail to two mailboxes counts as two arrivals, also where an address needs SMTPUTF8."""
    mail = _mail("a@example.com", "Two", "x")
    async with _smtp(simulator) as client:
        await client.send_message(mail, recipients=["a@example.com", "jürgen@example.com"])

    assert [arrival.to for arrival in simulator.arrived("email")] == ["a@example.com", "jürgen@example.com"]


@pytest.mark.parametrize("method", ["auth_plain", "auth_login"])
async def test_any_login_is_good_but_one_that_asks_to_fail(simulator: Simulator, method: str) -> None:
    """People need no account at the simulator, and can still see what a rejected login does."""
    async with _smtp(simulator) as client:
        await client.ehlo()
        accepted = await getattr(client, method)("kabar", "secret")
        with pytest.raises(aiosmtplib.SMTPAuthenticationError) as refused:
            await getattr(client, method)("fail-permanent", "secret")

    assert (accepted.code, refused.value.code) == (235, 535)


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("fail-permanent@example.com", 550, "5.1.1"),
        ("Fail_Transient@example.com", 451, "4.3.0"),
        ("rate-limit@example.com", 450, "retry in 3 s"),
    ],
)
async def test_a_mailbox_fails_as_its_address_asks(simulator: Simulator, address: str, code: int, words: str) -> None:
    """The words in an address decide how SMTP refuses it, and the next mail on the connection is unharmed."""
    async with _smtp(simulator) as client:
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
            await client.send_message(_mail(address, "No", "x"))
        await client.send_message(_mail("ok@example.com", "Yes", "x"))

    assert refused.value.recipients[0].code == code
    assert words in refused.value.recipients[0].message
    assert [arrival.title for arrival in simulator.arrivals] == ["Yes"]


async def test_a_silent_mailbox_takes_the_mail_and_never_answers(simulator: Simulator) -> None:
    """The sender of a mail to a silent mailbox cannot know that it arrived."""
    sending = asyncio.create_task(_send_mail(simulator, _mail("silent@example.com", "Hello?", "x")))

    await simulator.wait_for(1, 5)

    assert not sending.done()
    await simulator.aclose()
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await sending


async def test_pipelined_commands_are_answered_in_order(simulator: Simulator) -> None:
    """A client may send the whole envelope of a mail, and the next one, in a single packet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(simulator.smtp_url).port)
    envelope = b"MAIL FROM:<k@x.test>\r\nRCPT TO:<fail-permanent@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n"
    writer.write(b"EHLO test\r\n" + envelope + b"Subject: 1\r\n\r\n..dot\r\n.\r\n")
    writer.write(envelope + b".\r\nRCPT TO:<b@x.test>\r\nMAIL FROM:<\xc3\xbc@x.test>\r\nHELP\r\nQUIT\r\n")
    answers = (await asyncio.wait_for(reader.read(), 5)).decode().splitlines()
    writer.close()
    await writer.wait_closed()

    codes = [line[:3] for line in answers if line[3] == " "]
    mail = ["250", "550", "250", "354", "250"]
    assert codes == ["220", "250", *mail, *mail, "503", "553", "502", "221"]
    assert [(arrival.title, arrival.raw) for arrival in simulator.arrivals] == [
        ("1", b"Subject: 1\r\n\r\n.dot\r\n"),
        ("", b""),
    ]


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"x" * 2_000, 554), (b"x" * 3_000_000, 554), ((b"x" * 900 + b"\r\n") * 12_000, 552)],
    ids=["long-line", "very-long-line", "over-10-MiB"],
)
async def test_a_mail_that_public_servers_refuse_is_refused(simulator: Simulator, body: bytes, code: int) -> None:
    """A line over 998 octets or a mail over 10 MiB is refused, and the connection stays usable."""
    async with _smtp(simulator) as client:
        await client.ehlo()
        await client.mail("k@x.test")
        await client.rcpt("a@x.test")
        with pytest.raises(aiosmtplib.SMTPDataError) as refused:
            await client.data(b"Subject: big\r\n\r\n" + body)
        await client.send_message(_mail("a@x.test", "small", "x"))

    assert refused.value.code == code
    assert [arrival.title for arrival in simulator.arrivals] == ["small"]


async def test_a_broken_mail_is_still_shown(simulator: Simulator, http: ClientSession) -> None:
    """Whatever bytes a mail consists of, it arrives and its page can be looked at."""
    broken = (
        b"Subject: =?utf-8?b?####?=\r\nSubject: twice\r\nTo: <<>,:;@\r\nMessage-ID: <\r\n"
        b"Content-Type: text/html; charset=no-such-set\r\nContent-Transfer-Encoding: base64\r\n\r\n\xff\xfe\x00=\r\n"
    )
    async with _smtp(simulator) as client:
        await client.sendmail("k@x.test", ["a@x.test"], broken)
    [arrival] = simulator.arrivals

    for view in ("html", "text", "headers", "source"):
        await _page(http, f"{simulator.url}/mail/{arrival.number}?view={view}")


async def test_a_telegram_message_arrives_as_its_chat_shows_it(simulator: Simulator, http: ClientSession) -> None:
    """The Bot API's answer carries the message's id; the text arrives without its markup."""
    text = '<b>Fish &amp; chips</b>\n<a href="https://example.com/?a=1&amp;b=2">Menu</a> &lt;3'
    status, answer = await _telegram(simulator, http, chat_id=42, text=text, parse_mode="HTML")

    [arrival] = simulator.arrived("telegram")
    assert status == 200
    assert answer["result"]["message_id"] == arrival.number
    assert answer["result"]["chat"]["id"] == 42
    assert (arrival.to, arrival.title, arrival.text) == ("42", "Fish & chips", "Fish & chips\nMenu <3")
    assert arrival.html == text


async def test_telegram_takes_forms_too_and_says_who_the_bot_is(simulator: Simulator, http: ClientSession) -> None:
    """A client that posts forms, as most Telegram libraries do, gets the same answers."""
    api = f"{simulator.telegram_api_url}/bot1:x"
    keyboard = '{"inline_keyboard": [[{"text": "Open", "url": "https://example.com"}]]}'
    form = {"chat_id": "@news_room", "text": "1 < 2", "reply_markup": keyboard}
    async with http.post(f"{api}/sendMessage", data=form) as sent, http.get(f"{api}/getMe") as me:
        assert (sent.status, me.status) == (200, 200)
        assert (await me.json())["result"]["is_bot"] is True
    async with http.post(f"{simulator.telegram_api_url}/bot1:fail-permanent/getMe") as refused:
        assert refused.status == 401

    assert [(arrival.to, arrival.text) for arrival in simulator.arrivals] == [("@news_room", "1 < 2")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<script>x</script>", 'Unsupported start tag "script" at byte offset 0'),
        ("é <p>x</p>", 'Unsupported start tag "p" at byte offset 3'),
        ("1 < 2", "must be escaped"),
        ("2 > 1", "must be escaped"),
        ("fish & chips", "must be escaped"),
        ("it&apos;s", "must be escaped"),
        ("<b>bold", 'Can\'t find end tag corresponding to start tag "b"'),
        ("<b><i>x</b></i>", 'expected "</i>", found "</b>"'),
        ("x</b>", "Unexpected end tag"),
        ('<span style="x">x</span>', "Unsupported start tag"),
    ],
)
async def test_telegram_refuses_markup_it_cannot_parse(
    simulator: Simulator, http: ClientSession, text: str, words: str
) -> None:
    """A text that somebody forgot to escape is refused, as by Telegram, instead of shown wrongly."""
    status, answer = await _telegram(simulator, http, chat_id=1, text=text, parse_mode="HTML")

    assert status == 400
    assert answer["description"].startswith("Bad Request: can't parse entities: ")
    assert words in answer["description"]
    assert simulator.arrivals == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text": "<b> </b>"}, "message text is empty"),
        ({"text": "😀" * 2049}, "message is too long"),
        ({"chat_id": "nobody"}, "chat not found"),
        ({"chat_id": ""}, "chat_id is empty"),
        ({"parse_mode": "MarkdownV2"}, "unsupported parse_mode"),
        ({"entities": []}, "does not know the parameter entities"),
        ({"reply_markup": {"keyboard": []}}, "can't parse inline keyboard button"),
        ({"reply_markup": {"inline_keyboard": [[{"text": "x", "url": "javascript:x"}]]}}, "Wrong HTTP URL"),
        ({"reply_markup": {"inline_keyboard": [[{"text": "x", "url": "http://localhost/"}]]}}, "Wrong HTTP URL"),
    ],
)
async def test_telegram_refuses_what_the_bot_api_refuses(
    simulator: Simulator, http: ClientSession, change: dict[str, Any], words: str
) -> None:
    """A message that Telegram would not take is refused with a reason."""
    status, answer = await _telegram(simulator, http, **{"chat_id": 1, "text": "x", "parse_mode": "HTML"} | change)

    assert status == 400
    assert words in answer["description"]
    assert simulator.arrivals == []


@pytest.mark.parametrize(
    ("chat", "status", "words"),
    [
        ("@fail_permanent", 403, "blocked by the user"),
        ("@fail_transient", 500, "Internal Server Error"),
        ("@rate_limit", 429, "retry after 3"),
    ],
)
async def test_a_chat_fails_as_its_name_asks(
    simulator: Simulator, http: ClientSession, chat: str, status: int, words: str
) -> None:
    """The words in a chat's name decide how Telegram refuses it."""
    answered, answer = await _telegram(simulator, http, chat_id=chat, text="x")

    assert (answered, answer["error_code"], answer["ok"]) == (status, status, False)
    assert words in answer["description"]
    assert answer.get("parameters") == ({"retry_after": 3} if status == 429 else None)
    assert simulator.arrivals == []


async def test_a_slack_webhook_takes_a_message(simulator: Simulator, http: ClientSession) -> None:
    """A webhook answers ok; the arrival is addressed to its URL, and reads as Slack would show it."""
    url = simulator.slack_webhook_url("ops")
    section = {
        "type": "section",
        "text": {"type": "mrkdwn", "text": "*Down* &lt;3\n> _quoted_\n<https://example.com|Look>"},
    }
    payload = {"text": "Down", "blocks": [section], "unfurl_links": False}

    assert await _post(http, url, payload) == (200, "ok")
    async with http.post(url, data={"payload": '{"text": "by form"}'}) as answer:
        assert await answer.text() == "ok"

    first, second = simulator.arrived("slack")
    assert (first.to, first.text) == (url, "Down <3\nquoted\nLook")
    assert second.text == "by form"


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({}, "no_text"),
        ({"text": " "}, "no_text"),
        ({"text": "x", "blocks": {}}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "section"}]}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "carousel"}]}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "actions", "elements": []}]}, "invalid_blocks"),
        ({"blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        (["x"], "invalid_payload"),
    ],
)
async def test_slack_refuses_messages_that_break_its_rules(
    simulator: Simulator, http: ClientSession, payload: object, words: str
) -> None:
    """A message that Slack would not take is refused in Slack's words, by a webhook and by the Web API alike."""
    assert await _post(http, simulator.slack_webhook_url("ops"), payload) == (400, words)

    if isinstance(payload, dict):
        answer = await _slack_call(simulator, http, payload | {"channel": "C1"})
        assert (answer["ok"], answer["error"]) == (False, words)
    assert simulator.arrivals == []


@pytest.mark.parametrize(
    ("wish", "status", "words", "error"),
    [
        ("fail-permanent", 404, "no_service", "channel_not_found"),
        ("fail-transient", 500, "rollup_error", "internal_error"),
        ("rate-limit", 429, "rate_limited", "ratelimited"),
    ],
)
async def test_a_slack_address_fails_as_it_asks(
    simulator: Simulator, http: ClientSession, wish: str, status: int, words: str, error: str
) -> None:
    """The words in a webhook's name, or in a channel's id, decide how Slack refuses it."""
    async with http.post(simulator.slack_webhook_url(wish), json={"text": "x"}) as answer:
        assert (answer.status, await answer.text()) == (status, words)
        assert answer.headers.get("Retry-After") == ("3" if status == 429 else None)

    channel = "C" + wish.replace("-", "").upper()
    assert (await _slack_call(simulator, http, {"channel": channel, "text": "x"}))["error"] == error
    assert simulator.arrivals == []


async def test_slack_takes_messages_by_token(simulator: Simulator, http: ClientSession) -> None:
    """The Web API posts to a channel, says who the bot is, and refuses no token and a rejected one."""
    answer = await _slack_call(simulator, http, {"channel": "C0123", "text": "hello"})
    nobody = await _slack_call(simulator, http, {"channel": "C0123", "text": "hello"}, token="")
    rejected = await _slack_call(simulator, http, {}, token="xoxb-fail-permanent", method="auth.test")
    known = await _slack_call(simulator, http, {}, method="auth.test")

    assert answer["ok"] is True
    assert float(answer["ts"]) > 0
    assert (nobody["error"], rejected["error"], known["team"]) == ("not_authed", "invalid_auth", "Simulator")
    assert [(arrival.to, arrival.text) for arrival in simulator.arrivals] == [("C0123", "hello")]


@pytest.mark.parametrize("channel", ["telegram", "slack"])
async def test_a_silent_address_takes_the_message_and_never_answers(
    simulator: Simulator, http: ClientSession, channel: str
) -> None:
    """The sender of a message to a silent address cannot know that it arrived."""
    chat = f"{simulator.telegram_api_url}/bot1:x/sendMessage"
    url = simulator.slack_webhook_url("silent") if channel == "slack" else chat
    sending = asyncio.create_task(_post(http, url, {"text": "x"} | ({"chat_id": "@silent"} if url == chat else {})))

    await simulator.wait_for(1, 5)

    assert not sending.done()
    await simulator.aclose()
    with pytest.raises(ClientConnectionError):
        await sending


def test_a_rate_limited_address_is_free_once_its_wait_is_over() -> None:
    """Who waits as long as told is accepted; who comes earlier is told what is left; the next one waits again."""
    gate = Gate()

    told = [gate.treat("rate-limit@x.test", now=now) for now in (100.0, 101.5, 103.0, 103.0)]

    assert [treatment.retry_after_seconds for treatment in told] == [3, 2, 0, 3]
    assert told[2] == Treatment("accept")


async def test_whoever_waits_for_arrivals_is_told_how_many_came(simulator: Simulator, http: ClientSession) -> None:
    """Waiting ends with the arrival that was waited for, and a wait in vain says how many did arrive."""
    waiting = asyncio.create_task(simulator.wait_for(2, 5, "slack"))
    url = simulator.slack_webhook_url("ops")
    await _post(http, url, {"text": "1"})
    assert not waiting.done()
    await _post(http, url, {"text": "2"})

    assert [arrival.text for arrival in await waiting] == ["1", "2"]
    with pytest.raises(TimeoutError, match="2 of 3 messages arrived on all channels"):
        await simulator.wait_for(3, 0.01)


def test_only_the_newest_arrivals_are_kept_and_all_are_counted() -> None:
    """The simulator may run for days: its memory is bounded, its counters are not."""
    arrivals = Arrivals()
    for number in range(KEPT_PER_CHANNEL + 5):
        arrivals.add("slack", to="x", title=str(number), text="", raw=b"{}")
    for _ in range(8):
        arrivals.add("email", to="x", title="", text="", raw=bytes(10 * 1024 * 1024))

    assert arrivals.kept("slack")[0].title == "5"
    assert len(arrivals.kept("slack")) == KEPT_PER_CHANNEL
    assert len(arrivals.kept("email")) == 6
    assert (arrivals.total("slack"), arrivals.total()) == (KEPT_PER_CHANNEL + 5, KEPT_PER_CHANNEL + 13)


async def test_hostile_messages_do_not_run_on_any_page(simulator: Simulator, http: ClientSession) -> None:
    """Whatever a message contains, it is shown as text, or in a frame that may run nothing and load nothing."""
    await _send_hostile_messages(simulator, http)
    number = simulator.arrived("email")[0].number
    webhook = quote(simulator.slack_webhook_url("ops"), safe="")
    mails = [f"/mail/{number}?view={view}" for view in ("html", "text", "headers", "source")]

    for path in ("/", "/mail", *mails, "/telegram?to=7", f"/slack?to={webhook}"):
        page = await _page(http, simulator.url + path)
        assert [attributes for tag, attributes in page.tags if tag == "script"] == [
            {"src": "/assets/live.js", "defer": None}
        ]
        assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
        assert not [found for _, found in page.tags if str(found.get("href", "")).startswith("javascript:")]
        assert "img" not in {tag for tag, _ in page.tags}
        assert "alert(1)" in page.text + str(page.frame)
        assert "default-src 'none'" in page.policy
        assert "script-src 'self';" in page.policy


async def test_the_html_of_a_mail_is_framed_without_rights(simulator: Simulator, http: ClientSession) -> None:
    """A mail's HTML is shown where it can run no script and load nothing from outside."""
    await _send_hostile_messages(simulator, http)

    page = await _page(http, f"{simulator.url}/mail")

    assert page.frame is not None
    assert page.frame["sandbox"] == "allow-popups allow-popups-to-escape-sandbox"
    assert str(page.frame["srcdoc"]).startswith('<meta http-equiv="Content-Security-Policy" content="default-src')
    assert HOSTILE in str(page.frame["srcdoc"])


async def test_pages_show_what_arrived_and_how_to_make_it_fail(simulator: Simulator, http: ClientSession) -> None:
    """A new user finds the newest messages, the counts, the addresses to send to and the failures to try."""
    empty = await _page(http, simulator.url)
    await _send_mail(simulator, _mail("ayu@example.com", "Order shipped", "On its way"))
    await _telegram(simulator, http, chat_id=7, text="Stream started")
    await _post(http, simulator.slack_webhook_url("ops"), {"text": "*System error*"})
    await _post(http, simulator.slack_webhook_url("fail-permanent"), {"text": "x"})
    overview = await _page(http, simulator.url)

    assert "Nothing has arrived yet" in empty.text
    for words in ("Order shipped", "Stream started", "#ops", "1 turned away", "rate-limit", simulator.smtp_url):
        assert words in overview.text
    assert "On its way" in (await _page(http, f"{simulator.url}/mail/1?view=text")).text
    assert "Stream started" in (await _page(http, f"{simulator.url}/telegram")).text
    assert ("b", {}) in (await _page(http, f"{simulator.url}/slack")).tags
    async with http.get(f"{simulator.url}/mail/2") as telegrams, http.get(f"{simulator.url}/slack?to=x") as unknown:
        assert (telegrams.status, unknown.status) == (404, 404)


async def test_a_page_learns_of_arrivals_by_a_changed_version(simulator: Simulator, http: ClientSession) -> None:
    """Pages look for one short text each second; it differs whenever they have something new to show."""
    versions = set()
    for name in ("ops", "ops", "fail-permanent"):
        await _post(http, simulator.slack_webhook_url(name), {"text": "x"})
        async with http.get(f"{simulator.url}/api/version") as answer:
            versions.add(await answer.text())

    assert len(versions) == 3


async def test_arrivals_can_be_read_as_json(simulator: Simulator, http: ClientSession) -> None:
    """Scripts read what arrived since the last number they know, channel by channel."""
    for text in ("one", "two", "three"):
        await _post(http, simulator.slack_webhook_url("ops"), {"text": text})

    assert [item["text"] for item in await _listed(simulator, http, "channel=slack&after=1&limit=1")] == ["two"]
    assert [item["text"] for item in await _listed(simulator, http, "limit=2")] == ["two", "three"]
    assert await _listed(simulator, http, "channel=email") == []
    async with http.get(f"{simulator.url}/api/arrivals?channel=fax") as refused:
        assert refused.status == 400


async def test_ending_frees_the_ports_and_a_taken_port_is_an_error() -> None:
    """The simulator leaves nothing open: not after its end, and not after a start that failed."""
    first = Simulator()
    await first.start()
    http_port, smtp_port = urlsplit(first.url).port or 0, urlsplit(first.smtp_url).port or 0
    second = Simulator(http_port=http_port)
    with pytest.raises(OSError, match="in use"):
        await second.start()
    await first.aclose()
    await first.aclose()

    for port in (http_port, smtp_port, urlsplit(second.smtp_url).port or 0):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def _mail(to: str, subject: str, text: str, html: str = "") -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = "Kabar <kabar@example.com>"
    mail["To"] = to
    mail["Subject"] = subject
    mail["Message-ID"] = f"<{DELIVERY}@kabar.example>"
    mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    return mail


def _smtp(simulator: Simulator) -> aiosmtplib.SMTP:
    parts = urlsplit(simulator.smtp_url)
    return aiosmtplib.SMTP(hostname=parts.hostname, port=parts.port, use_tls=False, start_tls=False, timeout=10)


async def _send_mail(simulator: Simulator, mail: EmailMessage) -> None:
    async with _smtp(simulator) as client:
        await client.send_message(mail)


async def _post(http: ClientSession, url: str, payload: object) -> tuple[int, str]:
    async with http.post(url, json=payload) as answer:
        return answer.status, await answer.text()


async def _telegram(simulator: Simulator, http: ClientSession, **parameters: object) -> tuple[int, dict[str, Any]]:
    async with http.post(f"{simulator.telegram_api_url}/bot1:x/sendMessage", json=parameters) as answer:
        return answer.status, await answer.json()


async def _slack_call(
    simulator: Simulator,
    http: ClientSession,
    payload: dict[str, Any],
    *,
    token: str = TOKEN,
    method: str = "chat.postMessage",
) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with http.post(f"{simulator.slack_api_url}/{method}", json=payload, headers=headers) as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def _listed(simulator: Simulator, http: ClientSession, query: str) -> list[dict[str, Any]]:
    async with http.get(f"{simulator.url}/api/arrivals?{query}") as answer:
        found: list[dict[str, Any]] = (await answer.json())["arrivals"]
        return found


async def _send_hostile_messages(simulator: Simulator, http: ClientSession) -> None:
    mail = _mail("ayu@example.com", HOSTILE, HOSTILE, f"<p>{HOSTILE}</p>")
    mail["X-Hostile"] = HOSTILE
    await _send_mail(simulator, mail)
    link = '<a href="javascript:alert(1)">x</a><a href="&#106;avascript:alert(1)">y</a>'
    escaped = HOSTILE.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    status, _ = await _telegram(simulator, http, chat_id=7, text=f"<b>{escaped}</b>{link}", parse_mode="HTML")
    assert status == 200
    await _telegram(simulator, http, chat_id=7, text=HOSTILE)
    link = "<javascript:alert(1)|x> <https://example.com/\"onmouseover='alert(1)|y> *&lt;script&gt;* `&lt;script&gt;`"
    link += (
        "&lt;script&gt; `x` > &lt;script&gt;\n> &lt;script&gt;\n<https://example.com|&lt;script&gt;> <@&lt;script&gt;>"
    )
    texts = [{"type": "mrkdwn", "text": HOSTILE + link}, {"type": "plain_text", "text": HOSTILE}]
    blocks = [{"type": "section", "text": text} for text in texts]
    button = {"type": "button", "text": {"type": "plain_text", "text": HOSTILE[:75]}, "style": HOSTILE}
    payload = {"text": HOSTILE, "blocks": [*blocks, {"type": "actions", "elements": [button]}]}
    assert await _post(http, simulator.slack_webhook_url("ops"), payload) == (200, "ok")
    assert await _post(http, simulator.slack_webhook_url("ops"), {"text": HOSTILE + link}) == (200, "ok")


class _Page(HTMLParser):
    """A page as a browser reads it: its tags, its text, its frame's attributes, its policy."""

    def __init__(self, source: str, policy: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.policy = policy
        self.feed(source)
        self.frame = next((attributes for tag, attributes in self.tags if tag == "iframe"), None)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


async def _page(http: ClientSession, url: str) -> _Page:
    async with http.get(url) as answer:
        assert answer.status == 200, url
        return _Page(await answer.text(), answer.headers["Content-Security-Policy"])
