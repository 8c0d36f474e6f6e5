"""Standing SMTP sessions, kept, probed and replaced. Knows nothing of mails."""

from __future__ import annotations

import asyncio
import ssl
from enum import Enum, auto

import aiosmtplib

from worker.channels.smtp import Server, Session, open_session
from worker.channels.smtp_answers import REMEDIES, no_session, said
from worker.channels.tls import trust
from worker.core.outcome import Deferred

_SESSION_SECONDS = 300.0
_IDLE_SECONDS = 15.0  # after this the session is tried with NOOP before a mail is trusted to it
_PROBE_SECONDS = 5.0


class State(Enum):
    """How a mail leaves its session."""

    READY = auto()
    MID_MAIL = auto()
    BROKEN = auto()


class Pool:
    """Sessions, the last used first, so that few stay warm and the others grow old and go.

    Hold one of `slots` for as long as a session is taken. One is replaced after `per_session` mails.
    """

    def __init__(
        self, server: Server, hostname: str, tls_context: ssl.SSLContext | None, concurrency: int, per_session: int
    ) -> None:
        self.slots = asyncio.Semaphore(concurrency)
        self._server = server
        self._per_session = per_session
        self._hostname = hostname
        self._tls_context = tls_context or trust()
        self._idle: list[Session] = []
        self._is_closed = False

    async def take(self) -> Session | Deferred:
        """Give an open session, or say why there is none."""
        while self._idle:
            session = self._idle.pop()
            if session.is_open and await self._is_well(session):
                return session
        return await self.open()

    async def open(self) -> Session | Deferred:
        """Give a fresh session, or say why there is none."""
        try:
            return await open_session(self._server, hostname=self._hostname, tls_context=self._tls_context)
        except (aiosmtplib.SMTPException, OSError) as error:
            return no_session(error, self._server)

    async def look(self) -> str:
        """Open a session and say NOOP: '' when all is well, else what is wrong and the remedy."""
        session = await self.open()
        if isinstance(session, Deferred):
            return f"{session.reason}: {session.detail}. {REMEDIES[session.reason]}"
        try:
            (reply,) = await session.ask(b"NOOP\r\n")
        finally:
            session.close(politely=True)
        return "" if reply.code // 100 == 2 else f"NOOP was answered: {said(reply)}"  # noqa: PLR2004

    def give_back(self, session: Session, state: State) -> None:
        """Take a session back after a mail."""
        session.used = asyncio.get_running_loop().time()
        session.mails += 1
        session.needs_reset = state is State.MID_MAIL
        if state is State.BROKEN:
            session.close()
        elif self._is_closed or session.mails >= self._per_session or self._is_old(session):
            session.close(politely=True)
        else:
            self._idle.append(session)

    def close(self) -> None:
        """Close what is idle now, and the rest as it comes back."""
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
