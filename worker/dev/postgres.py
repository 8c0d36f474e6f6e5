"""A private PostgreSQL for trying and testing, without installing or configuring anything.

Listens on loopback only and asks for a random password. Knows nothing of what Kabar keeps in it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import asyncpg

from worker.dev import process
from worker.dev.postgres_programs import command_prefix, find_binaries
from worker.errors import ServiceUnavailable

_USER = "kabar"
_DATABASE = "kabar"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# Nobody mourns a test's data after a power cut; without these each new database costs three times as much.
_FORGETFUL = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


@dataclass(slots=True)
class Postgres:
    """A server: `url` leads to its database `kabar`. It can be stopped, frozen and started again on the same port."""

    data_dir: Path
    port: int
    durable: bool
    _binaries: Path
    _prefix: list[str | Path]
    _settings: Mapping[str, str]
    url: str = ""
    _server: Process | None = None

    @staticmethod
    @asynccontextmanager
    async def start(
        data_dir: Path, *, durable: bool = True, settings: Mapping[str, str] = MappingProxyType({})
    ) -> AsyncIterator[Postgres]:
        """Run a server on `data_dir` until the block ends; the data stay and are there at the next start.

        `settings` are its own, over the usual ones. `durable=False` never waits for the disk: for tests only. A server
        that a killed run left on the same data is stopped first. `ServiceUnavailable` where there are no server
        programs, or another run uses the data.
        """
        binaries = find_binaries()
        with _owned(data_dir):
            prefix = await asyncio.to_thread(command_prefix, data_dir)
            await _stop_leftover(data_dir / "data")
            await _initialise(prefix, binaries, data_dir, durable=durable)
            server = Postgres(data_dir, process.free_port(), durable, binaries, prefix, settings)
            try:
                await server.resume()
                yield server
            finally:
                await server.stop()

    @property
    def pid(self) -> int:
        """The process id of the last postmaster; `ServiceUnavailable` where none was ever started."""
        if self._server is None:
            raise ServiceUnavailable("The private PostgreSQL was never started. Call resume() first.")
        return self._server.pid

    @property
    def is_running(self) -> bool:
        """It was started, and has neither been stopped nor ended by itself."""
        return self._server is not None and self._server.returncode is None

    async def resume(self) -> None:
        """Start a stopped server on its data and port; returns once it answers."""
        self._server = await self._spawn()
        await self._until_ready(self._server)
        self.url = await self._with_database()

    async def stop(self, *, at_once: bool = False) -> None:
        """Stop the server: sessions are cut, the data are written and closed. Safe to call twice.

        `at_once`: nothing is written any more, as in a power cut; the next start recovers from the log.
        """
        # PostgreSQL's fast and immediate shutdown. A frozen server hears of neither until it is thawed.
        if self._server is not None:
            self.thaw()
            await process.end(self._server, signal.SIGQUIT if at_once else signal.SIGINT, timeout_seconds=20)

    def freeze(self) -> None:
        """Let the server and all its sessions hang: connections stay open and say nothing."""
        # The postmaster first: it makes no new session then.
        for pid in (self.pid, *_children(self.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on. Safe to call twice, and while it is stopped."""
        if self.is_running:
            for pid in (*_children(self.pid), self.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @staticmethod
    async def erase(data_dir: Path) -> None:
        """Delete what a server kept in `data_dir`. Safe to call twice; `ServiceUnavailable` while it is in use."""
        with _owned(data_dir):
            await _stop_leftover(data_dir / "data")
            shutil.rmtree(data_dir)

    async def _spawn(self) -> Process:
        settings = {**_SETTINGS, "port": str(self.port), **({} if self.durable else _FORGETFUL), **self._settings}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command: list[str | Path] = [*self._prefix, self._binaries / "postgres", "-D", self.data_dir / "data", *options]
        return await process.spawn(command, log=self.data_dir / "postgres.log")

    async def _until_ready(self, server: Process) -> None:
        pid_file = self.data_dir / "data" / "postmaster.pid"

        async def is_ready() -> bool:
            # Line 1 is the process id and line 8 the state: postmaster.pid of PostgreSQL's storage documentation.
            lines = pid_file.read_text().split("\n") if pid_file.exists() else []
            return lines[0:1] == [str(server.pid)] and "ready" in "".join(lines[7:8])

        log = self.data_dir / "postgres.log"
        await process.wait_until_ready(server, is_ready, name="PostgreSQL", log=log, timeout_seconds=60)

    async def _with_database(self) -> str:
        """Make sure of the database, and give its URL."""
        password = (self.data_dir / "password").read_text()
        address = f"postgresql://{_USER}:{password}@127.0.0.1:{self.port}"
        connection = await asyncpg.connect(f"{address}/postgres")
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", _DATABASE):
                await connection.execute(f"CREATE DATABASE {_DATABASE}")
        finally:
            await connection.close()
        return f"{address}/{_DATABASE}"


@contextmanager
def _owned(data_dir: Path) -> Iterator[None]:
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "owner.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceUnavailable(
                f"Another running kabar uses the data in {data_dir}. Stop it, or choose another folder."
            ) from None
        yield


async def _stop_leftover(data: Path) -> None:
    """Stop the server that a killed run left behind: the process that postmaster.pid names, if it works in `data`."""
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    for number in (signal.SIGINT, signal.SIGKILL):
        if not _works_in(pid, data):
            break
        os.kill(pid, number)
        os.kill(pid, signal.SIGCONT)
        await _until_gone(pid, data, timeout_seconds=10)
    if _is_somebody_else(pid, data):
        # He got the number of our dead server, and PostgreSQL would take him for it and refuse to start.
        pid_file.unlink(missing_ok=True)


async def _until_gone(pid: int, data: Path, *, timeout_seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_seconds):
            while _works_in(pid, data):  # noqa: ASYNC110 - nobody tells us of the end of a process that is not our child
                await asyncio.sleep(0.02)


def _works_in(pid: int, data: Path) -> bool:
    # A postmaster changes into its data directory; a stranger who got the same number afterwards did not.
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == data.resolve()
    except OSError:
        return False


def _is_somebody_else(pid: int, data: Path) -> bool:
    return Path(f"/proc/{pid}").exists() and not _works_in(pid, data)


async def _initialise(prefix: list[str | Path], binaries: Path, data_dir: Path, *, durable: bool) -> None:
    data, unfinished, log = data_dir / "data", data_dir / "unfinished", data_dir / "initdb.log"
    if data.exists():
        return
    shutil.rmtree(unfinished, ignore_errors=True)
    password = _new_password(data_dir)
    options = ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", *([] if durable else ["--no-sync"])]
    command: list[str | Path] = [
        *prefix,
        binaries / "initdb",
        "-D",
        unfinished,
        "-U",
        _USER,
        f"--pwfile={password}",
        *options,
    ]
    initdb = await process.spawn(command, log=log)
    try:
        await initdb.wait()
    finally:
        await process.end(initdb, signal.SIGTERM, timeout_seconds=5)
    if initdb.returncode != 0:
        raise ServiceUnavailable(f"PostgreSQL could not make its data in {data_dir}. {process.tail(log)}")
    unfinished.rename(data)


def _new_password(data_dir: Path) -> Path:
    file = data_dir / "password"
    file.touch(mode=0o600)
    file.write_text(secrets.token_hex(16))
    os.chown(file, data_dir.stat().st_uid, -1)
    return file


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
