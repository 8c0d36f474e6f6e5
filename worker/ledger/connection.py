"""The way to PostgreSQL: connections, the named statements, and what to do while the database is away.

Knows nothing of events or deliveries. An outage is waited out here, so that callers neither lose work nor spend
attempts on it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import TypeAlias, TypeVar

import asyncpg
import structlog

from worker.errors import ServiceUnavailable

T = TypeVar("T")
Record = asyncpg.Record
Connection: TypeAlias = "asyncpg.Connection[Record]"

_log = structlog.get_logger("ledger")
# Classes of SQLSTATE that say "not now": connection, resources, operator intervention, system, read-only, rollback.
_OUTAGE_CLASSES = ("08", "53", "57", "58", "25006", "40")
_TAKES_NO_WRITES = frozenset({"ReadOnlySQLTransactionError", "DiskFullError"})
_COMMAND_SECONDS = 20.0
_CLOSE_SECONDS = 1.0
_CLOCK_SECONDS = 10.0
_SESSION = {
    "application_name": "kabar",
    "jit": "off",
    # The plans do not depend on the arguments, and planning a statement anew costs more than running it.
    "plan_cache_mode": "force_generic_plan",
    # Every statement finds its rows by an index. Plans are cached for the life of a connection, and one made while a
    # table was still empty would read the whole of it for ever.
    "enable_seqscan": "off",
    # Counting what waits must not take every core from those who deliver.
    "max_parallel_workers_per_gather": "0",
    "idle_in_transaction_session_timeout": "30s",
    # Rows that are to tell which code wrote them take it from here, by their column's default.
    "kabar.version": version("kabar"),
}


@cache
def statement(name: str) -> str:
    """Answer the SQL filed as `sql/<name>.sql`."""
    return files("worker.ledger").joinpath("sql", f"{name}.sql").read_text("utf-8")


class Ledger:
    """The database as one process sees it. Safe to share by all tasks of an event loop."""

    def __init__(self, url: str, *, connections: int = 8) -> None:
        self._url = url
        self._free = asyncio.Semaphore(connections)
        self._idle: list[Connection] = []
        self._is_open = False
        self._troubles: dict[object, str] = {}  # of each piece of work that waits, why it does
        self._done_at = time.monotonic()
        self._clock: tuple[datetime, float] | None = None

    @property
    def outage(self) -> str:
        """Why the database cannot be used right now; '' while it can. What cannot be written counts, whoever reads."""
        return f"the database is away ({', '.join(sorted(set(self._troubles.values())))})" if self._troubles else ""

    @property
    def away_seconds(self) -> float:
        """For how long no work at all has been done while some waits for the database; 0 while none does.

        What is done while another piece of work waits for a server that takes no writes is no sign: it only read.
        """
        return time.monotonic() - self._done_at if self._troubles else 0.0

    async def open(self) -> None:
        """Allow statements. Connects on first use, so a database that is away does not stop a process from starting."""
        self._is_open = True

    async def aclose(self) -> None:
        """Close all connections. Safe to call twice."""
        self._is_open = False
        idle, self._idle = self._idle, []
        await asyncio.gather(*map(_close, idle))

    async def fetch(self, query: str, *arguments: object) -> list[Record]:
        """Run one statement in its own transaction and answer its rows. Raises what asyncpg raises."""
        return await self._on_connection(lambda connection: connection.fetch(query, *arguments))

    async def transact(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run several statements in one transaction."""

        async def in_transaction(connection: Connection) -> T:
            async with connection.transaction():
                return await work(connection)

        return await self._on_connection(in_transaction)

    async def _on_connection(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Lend a connection, the last used first. One that was left in the middle of something is not used again.

        Not asyncpg's own pool: that starts a task and asks the server to reset the session at each return.
        """
        if not self._is_open:
            raise ServiceUnavailable("the ledger is not open")
        async with self._free:
            connection = self._idle.pop() if self._idle else await self._connect()
            try:
                result = await work(connection)
            except asyncpg.ReadOnlySQLTransactionError:
                # This server was demoted: a new connection may find the one that can be written to.
                connection.terminate()
                raise
            except asyncpg.PostgresError:
                self._take_back(connection)
                raise
            except BaseException:
                connection.terminate()
                raise
            self._take_back(connection)
            return result

    def _take_back(self, connection: Connection) -> None:
        if connection.is_closed() or not self._is_open:
            connection.terminate()
        else:
            self._idle.append(connection)

    async def _connect(self) -> Connection:
        return await asyncpg.connect(
            self._url, command_timeout=_COMMAND_SECONDS, timeout=_COMMAND_SECONDS, server_settings=_SESSION
        )

    async def now(self) -> datetime:
        """Answer the database's time, for this machine's clock may be wrong. Asks at most every ten seconds."""
        here = time.monotonic()
        if self._clock is None or here - self._clock[1] > _CLOCK_SECONDS:
            ((now,),) = await self.fetch("SELECT clock_timestamp()")
            self._clock = now, time.monotonic()
        read_at, there = self._clock
        return read_at + timedelta(seconds=time.monotonic() - there)

    async def persist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Repeat idempotent work until the database has done it. Only outages are waited out; bugs are raised."""
        failures, us = 0, object()
        try:
            while True:
                try:
                    done = await work()
                except Exception as error:
                    if not is_outage(error):
                        raise
                    failures += 1
                    if not _is_collision(error):
                        self._note_trouble(us, error)
                    await asyncio.sleep(min(2.0, 0.05 * 2**failures) * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                else:
                    if _TAKES_NO_WRITES.isdisjoint(self._troubles.values()):
                        self._done_at = time.monotonic()
                    return done
        finally:
            if self._troubles.pop(us, None) and not self._troubles:
                _log.warning("database.back")

    def _note_trouble(self, whose: object, error: Exception) -> None:
        if not self._troubles:
            _log.error("database.away", error_type=type(error).__name__)
        self._troubles[whose] = type(error).__name__


async def _close(connection: Connection) -> None:
    try:
        await connection.close(timeout=_CLOSE_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


def is_outage(error: BaseException) -> bool:
    """Say whether an error means that the database is away or overloaded, and not that the work is wrong."""
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return True  # a migration changed a table under a prepared statement; asyncpg prepares it anew
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_OUTAGE_CLASSES)
    if isinstance(error, asyncpg.InterfaceError):
        # Raised when a pooled connection died; an InterfaceError that is our own wrong argument is a ValueError too.
        return not isinstance(error, ValueError)
    return isinstance(error, OSError | TimeoutError | asyncpg.InternalClientError)


def _is_collision(error: BaseException) -> bool:
    """Two transactions stood in each other's way, and the database let one go on: the other begins again."""
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "").startswith("40")


def is_refusal(error: BaseException) -> bool:
    """Say whether the database refused the values themselves: repeating it is in vain, its neighbours may be fine."""
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "").startswith(("22", "23", "54"))


def advice(error: BaseException) -> str:
    """Answer what an operator should do about an error of the database; '' where it is a defect of ours."""
    sqlstate = getattr(error, "sqlstate", None) or ""
    if sqlstate.startswith("28"):
        return "the database refuses the user or the password: check KABAR_DATABASE_URL"
    if sqlstate.startswith("3D"):
        return "the server has no database of this name: check KABAR_DATABASE_URL, or create it"
    if sqlstate in {"42P01", "42703"}:
        return "the database lacks this version's schema: run `kabar migrate`"
    if isinstance(error, asyncpg.exceptions.ClientConfigurationError):
        return "KABAR_DATABASE_URL cannot be read: expected postgresql://user:password@host:5432/database"
    if is_outage(error):
        name = type(error).__name__
        return f"the database cannot be used now ({name}): check that it runs and that KABAR_DATABASE_URL is right"
    return ""
