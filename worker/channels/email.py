"""E-mail over SMTP: a pool of standing sessions, mails as prebuilt bytes, and an outcome for every answer.

Where the point of no return lies: once the first byte of the body is handed to the socket, silence is `Unsure`;
before that nothing can have been taken. An answer is an answer in either phase.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parseaddr
from enum import Enum, auto
from functools import lru_cache
from urllib.parse import quote

from email_validator import EmailNotValidError, validate_email

from worker.channels import plaintext
from worker.channels.base import Abilities, Target
from worker.channels.fitting import safe_link, safe_picture, shorten
from worker.channels.layout import KABAR, Brand, Layout, preheader
from worker.channels.mime import Frame, Letter, Press
from worker.channels.reasons import reason
from worker.channels.smtp import LOST, Reply, Session, read_url
from worker.channels.smtp_answers import ENVELOPE_JUDGES, REMEDIES, of_data, outage, queue_id
from worker.channels.smtp_pool import Pool, State
from worker.core.backoff import Backoff
from worker.core.content import Content, Markup
from worker.core.formats import NO_BREAK
from worker.core.mask import mask
from worker.core.outcome import Deferred, Outcome, Refused, Released, Sent, Unsure, UnsurePolicy

_CHECK_SECONDS = 10.0
_SUBJECT_LIMIT = 200
_NAME_LIMIT = 100

# What nearly every address looks like; all others are looked at by email_validator, forty times slower.
_USUAL = re.compile(
    r"(?=[^@]{1,64}@.{3,189}\Z)[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
_ACE = re.compile(r"(?:@|\.)..--", re.DOTALL)  # labels such as "xn--", whose rest has rules of its own


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail in its wire form. `needs_utf8`: the address cannot be said in ASCII (RFC 6531)."""

    address: str
    needs_utf8: bool
    data: bytes = field(repr=False)


class EmailChannel:
    """Mail by one SMTP account. `url` as in `smtp.read_url`; `sender` as `Name <address>` or a bare address.

    `brand` is whose mails they look like. `per_second` as in `Abilities`; `per_connection`: mails by one session.
    Raises `ValueError`, saying what was expected, if `url` or `sender` cannot be read.
    """

    def __init__(
        self,
        url: str,
        sender: str,
        *,
        concurrency: int = 16,
        hostname: str = "",
        tls_context: ssl.SSLContext | None = None,
        brand: Brand = KABAR,
        per_second: float = 0.0,
        per_connection: int = 500,
    ) -> None:
        self._brand = brand
        self._layout = Layout(brand)
        self._frame = lru_cache(maxsize=64)(self._drawn)
        self._sender, self._domain, self._press = _read_sender(sender)
        server = read_url(url)
        self._provider = server.name
        self._pool = Pool(server, hostname or socket.gethostname(), tls_context, concurrency, per_connection)
        self._abilities = Abilities(
            markups=(Markup.PLAIN, Markup.HTML),
            concurrency=concurrency,
            on_unsure=UnsurePolicy.RESEND,
            # Greylisting servers want minutes between two tries; from five seconds the tries would be used up.
            backoff=Backoff(base=timedelta(seconds=30)),
            per_second=per_second,
        )

    @property
    def name(self) -> str:
        """`email`."""
        return "email"

    @property
    def provider(self) -> str:
        """The mail server's host."""
        return self._provider

    @property
    def abilities(self) -> Abilities:
        """Plain and HTML; a repetition is recognised by its Message-ID."""
        return self._abilities

    def fit(self, contents: tuple[Content, ...], target: Target) -> Mail | Refused:
        """Print the mail. The same target and contents give the same bytes at every try."""
        address = read_address(target.address)
        if isinstance(address, Refused):
            return address
        plain, html = contents
        link = safe_link(plain.link)
        delivery_id = str(target.delivery_id)
        url = self._settings_url(target.person_id, delivery_id)
        why = reason(
            self._brand.name, target.locale, target.category, target.audience,
            critical=target.critical, has_link=bool(url),
        )  # fmt: skip
        image = safe_picture(target.trimmings.image)
        card = self._layout.card(html.title, html.body, link, html.action, image)
        text = plaintext.written(plain.title, plain.body, link, plain.action)
        letter = Letter(
            address=address,
            name=shorten(target.name, _NAME_LIMIT),
            subject=shorten(plain.title, _SUBJECT_LIMIT).replace(NO_BREAK, " "),
            text=text + plaintext.foot(self._brand.name, why.why, why.label, url),
            frame=self._frame(target.locale),
            preheader=preheader(plain.body),
            html=card + self._layout.foot(why.why, why.label, url),
            at=target.at,
            message_id=f"{delivery_id}@{self._domain}",
            unsubscribe="" if target.critical else url,
        )
        return Mail(address, not address.isascii(), self._press.print(letter))

    def _drawn(self, locale: str) -> Frame:
        page = self._layout.page(locale)
        return Frame(page.head, page.middle, page.tail)

    def _settings_url(self, person_id: str, delivery_id: str) -> str:
        url = self._brand.settings_url.replace("{delivery}", delivery_id)
        return url.replace("{person}", quote(person_id, safe="", errors="replace")) if "{person}" in url else url

    async def send(self, message: Mail, *, timeout_seconds: float) -> Outcome:
        """Send by a pooled session. See the module for what silence means in each phase."""
        trip = _Trip()
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._carry(message, trip)
        except TimeoutError:
            return trip.silence("timed out")

    async def check(self) -> str:
        """Connect, encrypt, log in and say NOOP."""
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                return await self._pool.look()
        except TimeoutError:
            return f"no answer within {_CHECK_SECONDS:.0f} s. {REMEDIES['provider_unreachable']}"

    async def aclose(self) -> None:
        """Close all sessions; one that is sending is closed when it is done. Safe to call twice."""
        self._pool.close()

    async def _carry(self, mail: Mail, trip: _Trip) -> Outcome:
        async with self._pool.slots:
            session = await self._pool.take()
            if isinstance(session, Deferred):
                return session
            trip.phase = _Phase.ENVELOPE
            # Until an answer says otherwise the dialogue counts as broken: a cancelled send leaves it out of step.
            state = State.BROKEN
            try:
                outcome = await self._transact(session, mail, trip)
                state = _state_after(outcome)
                return outcome
            finally:
                self._pool.give_back(session, state)

    async def _transact(self, session: Session, mail: Mail, trip: _Trip) -> Outcome:
        if mail.needs_utf8 and "smtputf8" not in session.extensions:
            return Refused("address_needs_smtputf8", "the server does not offer SMTPUTF8")
        replies = await _say(session, self._commands(session, mail))
        for judge, family, reply in zip(ENVELOPE_JUDGES, (2, 2, 3), replies, strict=False):
            if reply.code // 100 != family:
                _end_unwanted_data(session, replies[-1])
                return trip.silence(reply.text) if reply is LOST else judge(reply)
        if not session.is_open:
            return trip.silence(LOST.text)

        trip.phase = _Phase.BODY
        # A full stop that begins a line is doubled (RFC 5321, 4.5.2). The message itself begins with "From:".
        (reply,) = await session.ask(mail.data.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        if reply.code // 100 == 2:  # noqa: PLR2004
            return Sent(queue_id(reply.text))
        return trip.silence(reply.text) if reply is LOST else of_data(reply)

    def _commands(self, session: Session, mail: Mail) -> tuple[bytes, bytes, bytes]:
        options = b" SIZE=%d" % len(mail.data) if "size" in session.extensions else b""
        if mail.needs_utf8:
            options += b" SMTPUTF8"
        return (
            b"MAIL FROM:<%b>%b\r\n" % (self._sender, options),
            b"RCPT TO:<%b>\r\n" % mail.address.encode(),
            b"DATA\r\n",
        )


def read_address(address: str) -> str | Refused:
    """Give the address as it goes on the wire (its domain in ASCII), or say that it is none.

    Domains that only exist inside a network are fine. Quoted local parts and IP addresses are not.
    """
    if _USUAL.fullmatch(address) and not ("--" in address and _ACE.search(address)):
        return address
    try:
        read = validate_email(address, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        return Refused("address_invalid", mask(str(error)))
    return read.ascii_email or f"{read.local_part}@{read.ascii_domain}"


def _read_sender(sender: str) -> tuple[bytes, str, Press]:
    name, address = parseaddr(sender)
    read = read_address(address)
    if isinstance(read, Refused) or not read.isascii() or any(char in sender for char in "\r\n\0"):
        raise ValueError("expected a sender such as 'Kabar <no-reply@example.com>', its address in ASCII")
    return read.encode(), read.rpartition("@")[2], Press(name, read)


class _Phase(Enum):
    CONNECT = auto()
    ENVELOPE = auto()
    BODY = auto()


@dataclass(slots=True)
class _Trip:
    """How far a mail has come."""

    phase: _Phase = _Phase.CONNECT

    def silence(self, detail: str) -> Deferred | Unsure:
        """What it means that no answer came in this phase."""
        match self.phase:
            case _Phase.CONNECT:
                return outage("provider_unreachable", detail)
            case _Phase.ENVELOPE:
                return Deferred("connection_lost", detail)
            case _Phase.BODY:
                return Unsure("no_answer", detail)


def _state_after(outcome: Outcome) -> State:
    match outcome:
        case Sent():
            return State.READY
        case Unsure():
            return State.BROKEN
        case Deferred() | Refused() | Released():
            return State.MID_MAIL


async def _say(session: Session, commands: tuple[bytes, ...]) -> list[Reply]:
    if "pipelining" in session.extensions:
        return await session.ask(b"".join(commands), len(commands))
    replies: list[Reply] = []
    for command in commands:
        replies += await session.ask(command)
        if replies[-1].code not in range(200, 400):
            break
    return replies


def _end_unwanted_data(session: Session, last: Reply) -> None:
    # A pipelining server may say 354 although it refused the recipient (RFC 2920, 3.1). A lone full stop might send an
    # empty mail; leaving sends nothing.
    if last.code // 100 == 3:  # noqa: PLR2004
        session.close()
