"""E-mail against a mail server that answers, refuses, hangs and breaks off at a chosen point."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import pytest

from tests.integration.channels.wire import Fault, SmtpServer, client_tls, closed_port, running, server_tls
from worker.channels.base import Target
from worker.channels.email import EmailChannel, Mail
from worker.channels.smtp import read_url
from worker.core.content import Content
from worker.core.outcome import Deferred, Outcome, Refused, Sent, Unsure

TARGET = Target(
    delivery_id=UUID("3f0c6a52-0f0e-4c6f-9a53-0b6c0b8f5d10"),
    address="ada@example.org",
    name="Ada Lovelace",
    event_type="payment.failed",
    at=datetime(2026, 11, 21, 9, 5, 3, tzinfo=UTC),
)
CONTENTS = (
    Content("Payment failed", "Dear Ada,\n.hidden\n\nplease pay.", "https://shop.example/pay", "Pay"),
    Content("Payment failed", "<p>Dear Ada,</p>", "https://shop.example/pay", "Pay"),
)


@asynccontextmanager
async def channel_to(server: SmtpServer, query: str = "", per_connection: int = 500) -> AsyncIterator[EmailChannel]:
    url = f"smtp://127.0.0.1:{server.port}{query}"
    channel = EmailChannel(url, "Kabar <no-reply@kabar.example>", per_connection=per_connection)
    try:
        yield channel
    finally:
        await channel.aclose()


def mail_for(channel: EmailChannel, address: str = TARGET.address) -> Mail:
    mail = channel.fit(CONTENTS, Target(TARGET.delivery_id, address, TARGET.name, "t", TARGET.at))
    assert isinstance(mail, Mail)
    return mail


async def outcome_of(server: SmtpServer, *, timeout_seconds: float = 5) -> Outcome:
    async with running(server), channel_to(server) as channel:
        return await channel.send(mail_for(channel), timeout_seconds=timeout_seconds)


async def test_an_accepted_mail_is_sent_and_arrives_whole() -> None:
    """What the server stored is byte for byte what was built, and its queue id is the reference."""
    server = SmtpServer()

    async with running(server), channel_to(server) as channel:
        mail = mail_for(channel)
        outcome = await channel.send(mail, timeout_seconds=5)

    assert outcome == Sent("4F2A77")
    assert server.mails == [mail.data]
    assert server.commands[1:4] == [
        f"MAIL FROM:<no-reply@kabar.example> SIZE={len(mail.data)}",
        "RCPT TO:<ada@example.org>",
        "DATA",
    ]
    parsed = email.message_from_bytes(server.mails[0], policy=email.policy.SMTP)
    assert parsed["Message-ID"] == f"<{TARGET.delivery_id}@kabar.example>"


SUPPRESSED = {"fault": "person", "suppress": True}
POLICY = {"fault": "person", "suppress": False}
OURS = {"fault": "ours", "suppress": False}


@pytest.mark.parametrize(
    ("step", "reply", "reason", "sides"),
    [
        ("RCPT", "550 5.1.1 <ada@example.org>: no such user", "address_unknown", SUPPRESSED),
        ("RCPT", "550 5.1.1 User unknown in relay recipient table", "address_unknown", SUPPRESSED),
        ("RCPT", "550 5.1.2 no such domain", "address_unknown", SUPPRESSED),
        ("RCPT", "553 5.1.3 bad syntax", "address_unknown", SUPPRESSED),
        ("RCPT", "556 5.1.10 null MX", "address_unknown", SUPPRESSED),
        ("RCPT", "550 5.2.1 mailbox disabled", "address_unknown", SUPPRESSED),
        ("RCPT", "550 no", "address_rejected", POLICY),
        ("RCPT", "552 5.2.2 mailbox full", "address_rejected", POLICY),
        ("RCPT", "550 5.7.1 not welcome", "rejected_by_policy", POLICY),
        ("RCPT", "552 5.3.4 too big", "message_too_big", OURS),
        ("RCPT", "555 5.5.4 unknown parameter", "message_rejected", OURS),
        ("MAIL", "552 5.3.4 too big", "message_too_big", OURS),
        ("DATA", "554 no valid recipients", "message_rejected", OURS),
        ("BODY", "552 too big", "message_too_big", OURS),
        ("BODY", "554 5.6.0 bad content", "message_rejected", OURS),
        ("BODY", "554 no", "message_rejected", OURS),
        ("BODY", "550 5.7.1 looks like spam", "rejected_by_policy", POLICY),
        ("BODY", "550 5.1.1 no such user", "address_unknown", SUPPRESSED),
    ],
)
async def test_a_permanent_answer_refuses_with_the_right_side_at_fault(
    step: str, reply: str, reason: str, sides: dict[str, object]
) -> None:
    """Only an address that is at an end is suppressed; what is wrong with our message needs a human."""
    outcome = await outcome_of(SmtpServer({step: reply}))

    assert isinstance(outcome, Refused)
    assert outcome.reason == reason
    assert {"fault": outcome.fault, "suppress": outcome.suppress} == sides
    assert outcome.detail.startswith(reply[:3])
    assert "ada" not in outcome.detail


@pytest.mark.parametrize(
    ("step", "reply", "reason"),
    [
        ("GREETING", "554 no service here", "provider_busy"),
        ("GREETING", "421 too many connections", "provider_busy"),
        ("MAIL", "421 4.3.2 closing", "provider_busy"),
        ("RCPT", "421 4.3.2 closing", "provider_busy"),
        ("DATA", "421 4.3.2 closing", "provider_busy"),
        ("BODY", "421 4.7.0 slow down", "provider_busy"),
        ("BODY", "454 Throttling failure: maximum sending rate exceeded", "provider_busy"),
        ("MAIL", "550 5.1.8 bad sender", "sender_rejected"),
        ("MAIL", "530 5.7.0 authentication required", "sender_rejected"),
        ("RCPT", "554 5.7.1 <ada@example.org>: Relay access denied", "sender_rejected"),
        ("RCPT", "550 5.7.60 not permitted to send as this sender", "sender_rejected"),
    ],
)
async def test_trouble_of_the_account_costs_no_attempt_and_lets_the_account_rest(
    step: str, reply: str, reason: str
) -> None:
    """A provider that is closing, throttling, or refuses our sender is no fault of the message."""
    outcome = await outcome_of(SmtpServer({step: reply}))

    assert isinstance(outcome, Deferred)
    assert (outcome.reason, outcome.costs_attempt, outcome.scope) == (reason, False, "account")


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "BODY"])
async def test_a_temporary_answer_defers_this_delivery_only(step: str) -> None:
    """A 4xx for this message costs one attempt and holds nobody else back."""
    outcome = await outcome_of(SmtpServer({step: "451 4.7.1 greylisted"}))

    assert outcome == Deferred("provider_deferred", "451 4.7.1 greylisted")


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("fault", [Fault.HANG_UP, Fault.RESET, Fault.HANG])
@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
async def test_a_break_before_the_body_is_deferred(step: str, fault: Fault, *, pipelining: bool) -> None:
    """While no byte of the mail was on the wire it cannot have been taken, so it may be tried again."""
    server = SmtpServer({step: fault}, extensions=("PIPELINING",) if pipelining else ())

    outcome = await outcome_of(server, timeout_seconds=0.5 if fault is Fault.HANG else 5)

    assert isinstance(outcome, Deferred)
    assert (outcome.reason, outcome.costs_attempt) == ("connection_lost", True)
    assert server.mails == []


@pytest.mark.parametrize("fault", [Fault.HANG_UP, Fault.RESET, Fault.HANG])
@pytest.mark.parametrize("step", ["AFTER_DATA", "BODY"])
async def test_a_break_after_the_body_went_out_is_unsure(step: str, fault: Fault) -> None:
    """Nobody can know whether a mail was taken when its last answer is missing."""
    outcome = await outcome_of(SmtpServer({step: fault}), timeout_seconds=0.5 if fault is Fault.HANG else 5)

    assert isinstance(outcome, Unsure)
    assert outcome.reason == "no_answer"


@pytest.mark.parametrize("fault", [Fault.HANG_UP, Fault.RESET, Fault.HANG])
@pytest.mark.parametrize("step", ["GREETING", "EHLO"])
async def test_a_break_while_connecting_is_an_outage(step: str, fault: Fault) -> None:
    """A server that does not even greet costs no message an attempt."""
    outcome = await outcome_of(SmtpServer({step: fault}), timeout_seconds=0.5 if fault is Fault.HANG else 5)

    assert isinstance(outcome, Deferred)
    assert (outcome.reason, outcome.costs_attempt, outcome.scope) == ("provider_unreachable", False, "account")


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_an_unreachable_server_is_an_outage_and_the_check_says_the_remedy(host: str) -> None:
    """Connection refused and unknown host defer without cost, and the doctor says what to look at."""
    channel = EmailChannel(f"smtp://{host}:{closed_port()}", "no-reply@kabar.example")

    outcome = await channel.send(mail_for(channel), timeout_seconds=5)

    assert isinstance(outcome, Deferred)
    assert (outcome.reason, outcome.costs_attempt, outcome.scope) == ("provider_unreachable", False, "account")
    assert "Check host and port" in await channel.check()


async def test_rejected_credentials_rest_the_account_and_stay_secret() -> None:
    """A wrong password costs no attempt and is never repeated in what we record."""
    server = SmtpServer(extensions=("AUTH PLAIN",), login="right")

    async with running(server):
        channel = EmailChannel(f"smtp://kabar:hunter2@127.0.0.1:{server.port}", "no-reply@kabar.example")
        outcome = await channel.send(mail_for(channel), timeout_seconds=5)
        advice = await channel.check()

    assert isinstance(outcome, Deferred)
    assert (outcome.reason, outcome.costs_attempt, outcome.scope) == ("credentials_rejected", False, "account")
    assert "hunter2" not in outcome.detail + advice
    assert "Check user and password" in advice


async def test_a_session_is_encrypted_when_the_server_offers_it() -> None:
    """STARTTLS is taken when offered, and the mail goes out after it."""
    server = SmtpServer(extensions=("STARTTLS", "PIPELINING"), tls=server_tls())

    async with running(server):
        channel = EmailChannel(f"smtp://localhost:{server.port}", "no-reply@kabar.example", tls_context=client_tls())
        outcomes = [await channel.send(mail_for(channel), timeout_seconds=5) for _ in range(2)]
        await channel.aclose()

    assert outcomes == [Sent("4F2A77")] * 2
    assert server.verbs()[:5] == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT"]


async def test_implicit_tls_delivers() -> None:
    """smtps:// speaks TLS from the first byte."""
    server = SmtpServer()

    async with running(server, tls=server_tls()):
        channel = EmailChannel(f"smtps://localhost:{server.port}", "no-reply@kabar.example", tls_context=client_tls())
        outcome = await channel.send(mail_for(channel), timeout_seconds=5)
        await channel.aclose()

    assert outcome == Sent("4F2A77")


@pytest.mark.parametrize("implicit", [True, False])
async def test_an_untrusted_certificate_sends_nothing(*, implicit: bool) -> None:
    """A server that cannot prove who it is gets neither password nor mail, and the check says why."""
    server = SmtpServer(extensions=("STARTTLS",), tls=server_tls())

    async with running(server, tls=server_tls() if implicit else None):
        scheme = "smtps" if implicit else "smtp"
        channel = EmailChannel(f"{scheme}://localhost:{server.port}", "no-reply@kabar.example")
        outcome = await channel.send(mail_for(channel), timeout_seconds=5)
        advice = await channel.check()

    assert isinstance(outcome, Deferred)
    assert (outcome.reason, outcome.costs_attempt, outcome.scope) == ("tls_failed", False, "account")
    assert "certificate" in advice
    assert server.mails == []


async def test_required_encryption_that_is_not_offered_sends_nothing() -> None:
    """starttls=required never falls back to plain text."""
    server = SmtpServer()

    async with running(server), channel_to(server, "?starttls=required") as channel:
        outcome = await channel.send(mail_for(channel), timeout_seconds=5)

    assert isinstance(outcome, Deferred)
    assert (outcome.reason, outcome.scope) == ("provider_unsuitable", "account")
    assert "MAIL" not in server.verbs()


async def test_offered_encryption_is_left_alone_when_told_never() -> None:
    """starttls=never is for relays on this machine with certificates of their own."""
    server = SmtpServer(extensions=("STARTTLS",))

    async with running(server), channel_to(server, "?starttls=never") as channel:
        outcome = await channel.send(mail_for(channel), timeout_seconds=5)

    assert isinstance(outcome, Sent)
    assert "STARTTLS" not in server.verbs()


async def test_many_mails_share_few_sessions() -> None:
    """Standing sessions are used again, and no more are opened than may send at once."""
    server = SmtpServer()

    async with running(server), channel_to(server) as channel:
        mail = mail_for(channel)
        outcomes = await asyncio.gather(*(channel.send(mail, timeout_seconds=5) for _ in range(100)))

    assert outcomes == [Sent("4F2A77")] * 100
    assert len(server.mails) == 100
    assert server.connections <= channel.abilities.concurrency


async def test_a_session_carries_no_more_mails_than_its_server_takes() -> None:
    """Servers that close a connection after so many mails are left before they do."""
    server = SmtpServer()

    async with running(server), channel_to(server, per_connection=3) as channel:
        outcomes = [await channel.send(mail_for(channel), timeout_seconds=5) for _ in range(7)]

    assert outcomes == [Sent("4F2A77")] * 7
    assert server.connections == 3


async def test_a_refused_recipient_does_not_spoil_the_session_for_the_next() -> None:
    """After a refusal the same session is reset and carries the next mail."""
    server = SmtpServer({"RCPT": ["550 5.1.1 unknown", "250 ok"]})

    async with running(server), channel_to(server) as channel:
        first = await channel.send(mail_for(channel), timeout_seconds=5)
        second = await channel.send(mail_for(channel), timeout_seconds=5)

    assert (type(first), type(second)) == (Refused, Sent)
    assert server.verbs()[:8] == ["EHLO", "MAIL", "RCPT", "DATA", "RSET", "MAIL", "RCPT", "DATA"]


async def test_a_server_that_wants_data_for_nobody_gets_none() -> None:
    """A server may say 354 after refusing the recipient: it gets nothing, and the next mail is whole."""
    server = SmtpServer({"RCPT": ["550 5.1.1 unknown", "250 ok"]}, wants_data_for_nobody=True)

    async with running(server), channel_to(server) as channel:
        await channel.send(mail_for(channel), timeout_seconds=5)
        assert server.mails == []
        second = await channel.send(mail_for(channel), timeout_seconds=5)

    assert isinstance(second, Sent)
    assert len(server.mails) == 1
    assert server.connections == 2


async def test_a_session_the_server_closed_is_replaced() -> None:
    """A server that hangs up on an idle session costs the next mail nothing."""
    server = SmtpServer()

    async with running(server), channel_to(server) as channel:
        await channel.send(mail_for(channel), timeout_seconds=5)
        server.writers[0].write(b"421 4.4.2 idle\r\n")
        await server.writers[0].drain()
        server.writers[0].close()
        # A round trip over another connection: what was sent before on loopback has been delivered by then.
        assert await channel.check() == ""
        second = await channel.send(mail_for(channel), timeout_seconds=5)

    assert isinstance(second, Sent)
    assert len(server.mails) == 2


async def test_a_cancelled_send_leaves_no_session_out_of_step() -> None:
    """After a cancellation the next mail gets its own answers."""
    server = SmtpServer({"BODY": [Fault.HANG, "250 Ok: queued as 77"]})

    async with running(server), channel_to(server) as channel:
        sending = asyncio.create_task(channel.send(mail_for(channel), timeout_seconds=5))
        await server.has_mail.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        second = await channel.send(mail_for(channel), timeout_seconds=5)

    assert isinstance(second, Sent)
    assert server.connections == 2


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        (("PIPELINING", "SMTPUTF8"), Sent("4F2A77")),
        (("PIPELINING",), Refused("address_needs_smtputf8", "the server does not offer SMTPUTF8")),
    ],
)
async def test_an_address_beyond_ascii_needs_a_server_that_can(extensions: tuple[str, ...], expected: Outcome) -> None:
    """A local part outside ASCII is sent with SMTPUTF8, or refused where the server has none."""
    server = SmtpServer(extensions=extensions)

    async with running(server), channel_to(server) as channel:
        outcome = await channel.send(mail_for(channel, "jürgen@bücher.example"), timeout_seconds=5)

    assert outcome == expected
    if isinstance(outcome, Sent):
        assert server.commands[1] == "MAIL FROM:<no-reply@kabar.example> SMTPUTF8"
        assert server.commands[2] == "RCPT TO:<jürgen@xn--bcher-kva.example>"


@pytest.mark.parametrize(
    "reply", ["what?", "25", "2500 Ok", "250-" + "x" * 70_000], ids=["words", "short", "long", "endless"]
)
async def test_a_server_that_speaks_something_else_is_given_up(reply: str) -> None:
    """Garbage instead of an answer ends the session; before the body that is a deferral."""
    outcome = await outcome_of(SmtpServer({"MAIL": reply}))

    assert isinstance(outcome, Deferred)
    assert outcome.reason == "connection_lost"


@pytest.mark.parametrize(
    "address", ["", "ada", "ada@", "@example.org", "a@b\r\nRCPT TO:<eve@example.org>", "a\0@example.org", "a b@c.de"]
)
def test_what_is_no_address_is_refused_before_anything_is_sent(address: str) -> None:
    """An address that could end a command or start another never reaches the wire."""
    channel = EmailChannel("smtp://127.0.0.1", "no-reply@kabar.example")

    outcome = channel.fit(CONTENTS, Target(TARGET.delivery_id, address, "", "t", TARGET.at))

    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.fault) == ("address_invalid", "person")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://mail",
        "smtp://",
        "smtp://h/x",
        "smtp://h?tls=1",
        "smtps://h?starttls=never",
        "smtp://h?starttls=maybe",
    ],
)
def test_a_wrong_url_stops_the_start_and_says_what_is_expected(url: str) -> None:
    """A setting that cannot be meant is refused at once, without repeating a password."""
    with pytest.raises(ValueError, match=r"smtp://|starttls="):
        EmailChannel(url, "no-reply@kabar.example")


@pytest.mark.parametrize("sender", ["", "Kabar", "Kabar <no-reply>\r\nBcc: eve@example.org", "jürgen@example.org"])
def test_a_wrong_sender_stops_the_start(sender: str) -> None:
    """Every mail would be refused for it, so it is refused first."""
    with pytest.raises(ValueError, match="sender"):
        EmailChannel("smtp://127.0.0.1", sender)


def test_a_password_is_not_sent_in_the_clear_unless_told_so() -> None:
    """With a user, encryption is required off this machine; the ports follow the kind of connection."""
    assert read_url("smtp://u:p@mail.example").starttls == "required"
    assert read_url("smtp://u:p@127.0.0.1").starttls == "offered"
    assert read_url("smtp://u:p@mail.example?starttls=never").starttls == "never"
    assert read_url("smtp://u:p%40@mail.example").password == "p@"
    assert [read_url(url).port for url in ("smtp://h", "smtp://u:p@h", "smtps://h", "smtp://h:2525")] == [
        25,
        587,
        465,
        2525,
    ]
    assert "secret" not in repr(read_url("smtp://u:secret@h"))
