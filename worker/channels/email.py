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

import aiosmtplib
from email_validator import EmailNotValidError, validate_email

from worker.channels import layout
from worker.channels.base import Abilities, Target
from worker.channels.fitting import safe_link, shorten
from worker.channels.mime import Letter, Press
from worker.channels.smtp import LOST, Reply, Server, Session, open_session, read_url
from worker.core.backoff import Backoff
from worker.core.content import Content, Markup
from worker.core.mask import mask
from worker.core.outcome import Deferred, Outcome, Refused, Released, Sent, Unsure, UnsurePolicy

_MAILS_PER_SESSION = 500
_SESSION_SECONDS = 300.0
_IDLE_SECONDS = 15.0  # after this the session is tried with NOOP before a mail is trusted to it
_PROBE_SECONDS = 5.0
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

    Raises `ValueError`, saying what was expected, if either cannot be read.
    """

    def __init__(
        self,
        url: str,
        sender: str,
        *,
        concurrency: int = 16,
        hostname: str = "",
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._server = read_url(url)
        self._sender, self._domain, self._press = _read_sender(sender)
        self._pool = _Pool(self._server, hostname or socket.gethostname(), tls_context, concurrency)
        self._abilities = Abilities(
            markups=(Markup.PLAIN, Markup.HTML),
            concurrency=concurrency,
            on_unsure=UnsurePolicy.RESEND,
            # Greylisting servers want minutes between two tries; from five seconds the tries would be used up.
            backoff=Backoff(base=timedelta(seconds=30)),
        )

    @property
    def name(self) -> str:
        """`email`."""
        return "email"

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
        action = f"\n\n{plain.action}: {link}" if plain.action else f"\n\n{link}"
        letter = Letter(
            address=address,
            name=shorten(target.name, _NAME_LIMIT),
            subject=shorten(plain.title, _SUBJECT_LIMIT),
            text=f"{plain.title}\n\n{plain.body}{action if link else ''}\n",
            html=layout.inner(html.title, html.body, link, html.action),
            at=target.at,
            message_id=f"{target.delivery_id}@{self._domain}",
        )
        return Mail(address, not address.isascii(), self._press.print(letter))

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
            return f"no answer within {_CHECK_SECONDS:.0f} s. {_REMEDIES['provider_unreachable']}"

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
            state = _State.BROKEN
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
        for judge, family, reply in zip(_ENVELOPE_JUDGES, (2, 2, 3), replies, strict=False):
            if reply.code // 100 != family:
                _end_unwanted_data(session, replies[-1])
                return trip.silence(reply.text) if reply is LOST else judge(reply)
        if not session.is_open:
            return trip.silence(LOST.text)

        trip.phase = _Phase.BODY
        # A full stop that begins a line is doubled (RFC 5321, 4.5.2). The message itself begins with "From:".
        (reply,) = await session.ask(mail.data.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        if reply.code // 100 == 2:  # noqa: PLR2004
            return Sent(_queue_id(reply.text))
        return trip.silence(reply.text) if reply is LOST else _of_data(reply)

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
    if _USUAL.fullmatch(address) and not _ACE.search(address):
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
                return _outage("provider_unreachable", detail)
            case _Phase.ENVELOPE:
                return Deferred("connection_lost", detail)
            case _Phase.BODY:
                return Unsure("no_answer", detail)


class _Pool:
    """Sessions, the last used first, so that few stay warm and the others grow old and go."""

    def __init__(self, server: Server, hostname: str, tls_context: ssl.SSLContext | None, concurrency: int) -> None:
        self.slots = asyncio.Semaphore(concurrency)
        self._server = server
        self._hostname = hostname
        self._tls_context = tls_context
        self._idle: list[Session] = []
        self._is_closed = False

    async def take(self) -> Session | Deferred:
        while self._idle:
            session = self._idle.pop()
            if session.is_open and await self._is_well(session):
                return session
        return await self.open()

    async def open(self) -> Session | Deferred:
        if self._tls_context is None and (self._server.implicit_tls or self._server.starttls != "never"):
            self._tls_context = ssl.create_default_context()
        try:
            return await open_session(self._server, hostname=self._hostname, tls_context=self._tls_context)
        except (aiosmtplib.SMTPException, OSError) as error:
            return _no_session(error, self._server)

    async def look(self) -> str:
        session = await self.open()
        if isinstance(session, Deferred):
            return f"{session.reason}: {session.detail}. {_REMEDIES[session.reason]}"
        try:
            (reply,) = await session.ask(b"NOOP\r\n")
        finally:
            session.close(politely=True)
        return "" if reply.code // 100 == 2 else f"NOOP was answered: {_said(reply)}"  # noqa: PLR2004

    def give_back(self, session: Session, state: _State) -> None:
        session.used = asyncio.get_running_loop().time()
        session.mails += 1
        session.needs_reset = state is _State.MID_MAIL
        if state is _State.BROKEN:
            session.close()
        elif self._is_closed or session.mails >= _MAILS_PER_SESSION or self._is_old(session):
            session.close(politely=True)
        else:
            self._idle.append(session)

    def close(self) -> None:
        self._is_closed = True
        while self._idle:
            self._idle.pop().close(politely=True)

    def _is_old(self, session: Session) -> bool:
        return asyncio.get_running_loop().time() - session.opened > _SESSION_SECONDS

    async def _is_well(self, session: Session) -> bool:
        if self._is_old(session):
            session.close(politely=True)
            return False
        is_warm = asyncio.get_running_loop().time() - session.used <= _IDLE_SECONDS
        if is_warm and not session.needs_reset:
            return True
        is_well = False
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                (reply,) = await session.ask(b"RSET\r\n" if session.needs_reset else b"NOOP\r\n")
                is_well = reply.code // 100 == 2  # noqa: PLR2004
        except TimeoutError:
            return False
        finally:
            if not is_well:
                session.close()
        return is_well


class _State(Enum):
    """How a mail leaves its session."""

    READY = auto()
    MID_MAIL = auto()
    BROKEN = auto()


def _state_after(outcome: Outcome) -> _State:
    match outcome:
        case Sent():
            return _State.READY
        case Unsure():
            return _State.BROKEN
        case Deferred() | Refused() | Released():
            return _State.MID_MAIL


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


def _queue_id(text: str) -> str:
    found = _QUEUED.search(text)
    return found[1] if found else ""


_QUEUED = re.compile(r"(?:queued as |id=|\bok:? )(?=\S*\d)([\w.+-]{4,100})", re.IGNORECASE)
_STATUS = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?!\S)")
_RELAY = re.compile(r"\brelay", re.IGNORECASE)

# RFC 3463 and the IANA registry of enhanced status codes, subject 1 and 2: the mailbox does not exist (any more),
# its domain takes no mail, or its syntax is none.
_GONE = {(1, 1), (1, 2), (1, 3), (1, 6), (1, 10), (2, 1)}
_SENDER_AT_FAULT = {(1, 7), (1, 8), (7, 8), (7, 9), (7, 11), (7, 14), (7, 60)}
_TOO_BIG = {(2, 3), (3, 4)}
_NEEDS_LOGIN = (530, 534, 535, 538)  # RFC 4954, 6


def _of_sender(reply: Reply) -> Outcome:
    """Answer to MAIL. A refused sender is a wrong setting, or an account in trouble: no fault of this message."""
    if reply.code < 500 or _status(reply) in _TOO_BIG or reply.code == 552:  # noqa: PLR2004
        return _of_data(reply)
    return _outage("sender_rejected", _said(reply))


def _of_recipient(reply: Reply) -> Outcome:
    status = _status(reply)
    if reply.code < 500:  # noqa: PLR2004
        return _busy(reply)
    if _is_account_at_fault(reply, status):
        return _outage("sender_rejected", _said(reply))
    if status in _GONE:
        return Refused("address_unknown", _said(reply), suppress=True)
    if status in _TOO_BIG:
        return Refused("message_too_big", _said(reply), fault="ours")
    if status is not None and status[0] in (5, 6):
        return Refused("message_rejected", _said(reply), fault="ours")
    # Without a clear word that the mailbox is gone it is not suppressed: 550 is also said for policy (RFC 5321, 4.2.3).
    return Refused("rejected_by_policy" if status and status[0] == 7 else "address_rejected", _said(reply))  # noqa: PLR2004


def _of_data(reply: Reply) -> Outcome:
    """Answer to DATA or to the body: some servers judge the recipient only now; without that it is our text."""
    status = _status(reply)
    if reply.code < 500:  # noqa: PLR2004
        return _busy(reply)
    if status in _TOO_BIG or (reply.code == 552 and status is None):  # noqa: PLR2004
        return Refused("message_too_big", _said(reply), fault="ours")
    if status is None or status[0] not in (1, 2, 7):
        return Refused("message_rejected", _said(reply), fault="ours")
    return _of_recipient(reply)


def _busy(reply: Reply) -> Outcome:
    # 421: the service is closing. 454 after login is what Amazon SES says for too many mails a second.
    if reply.code in (421, 454):
        return _outage("provider_busy", _said(reply))
    if reply.code < 400:  # noqa: PLR2004
        return Deferred("provider_confused", _said(reply))
    return Deferred("provider_deferred", _said(reply))


_ENVELOPE_JUDGES = (_of_sender, _of_recipient, _of_data)


def _is_account_at_fault(reply: Reply, status: tuple[int, int] | None) -> bool:
    return status in _SENDER_AT_FAULT or reply.code in _NEEDS_LOGIN or bool(_RELAY.search(reply.text))


def _status(reply: Reply) -> tuple[int, int] | None:
    found = _STATUS.match(reply.text)
    return (int(found[2]), int(found[3])) if found else None


def _said(reply: Reply) -> str:
    return mask(f"{reply.code} {reply.text}")


def _outage(reason: str, detail: str) -> Deferred:
    return Deferred(reason, detail, costs_attempt=False, scope="account")


def _no_session(error: Exception, server: Server) -> Deferred:
    detail = mask(f"{type(error).__name__}: {error}", server.password, server.username)
    match error:
        case aiosmtplib.SMTPAuthenticationError():
            return _outage("credentials_rejected", detail)
        case aiosmtplib.SMTPResponseException():
            return _outage("provider_busy", detail)
        case aiosmtplib.SMTPConnectError(__cause__=ssl.SSLError()) | ssl.SSLError():
            return _outage("tls_failed", detail)
        case aiosmtplib.SMTPConnectError() | aiosmtplib.SMTPServerDisconnected() | OSError():
            return _outage("provider_unreachable", detail)
        case _:
            # What is left of aiosmtplib's tree: STARTTLS or AUTH wished for and not offered.
            return _outage("provider_unsuitable", detail)


_REMEDIES = {
    "credentials_rejected": "Check user and password in the SMTP URL.",
    "provider_busy": "The server is there and does not want us now; look at its message and try later.",
    "tls_failed": "Check that the certificate is valid for this host, and that smtps:// or smtp:// fits the port.",
    "provider_unreachable": "Check host and port in the SMTP URL, and that a firewall lets this machine out.",
    "provider_unsuitable": "The server offers no STARTTLS or no login; use smtps://, ?starttls=never or no user.",
}
