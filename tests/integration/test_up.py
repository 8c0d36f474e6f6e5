"""`kabar up`: one command runs all of it, any program can publish to it, and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import aio_pika
import aiohttp
import asyncpg
import psutil
import pytest
from rich.console import Console

from worker.dev.parts import Wishes, make_plan, without_password
from worker.dev.summary import Change, Figures, Row, line, picture
from worker.errors import KabarError

START_SECONDS = 90
STOP_SECONDS = 15
DELIVERY_SECONDS = 20
OUTSIDE = frozenset({"email", "telegram", "slack"})
CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Running:
    """A `kabar up --json` that has said its one line."""

    process: Process
    addresses: dict[str, str]

    async def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int | None, str, str]:
        """End it by a signal; answer exit code, what it printed since its line, and what it complained of."""
        self.process.send_signal(number)
        async with asyncio.timeout(STOP_SECONDS):
            printed, complaint = await self.process.communicate()
        return self.process.returncode, printed.decode(), complaint.decode()


def environment_in(home: Path, **more: str) -> dict[str, str]:
    """Answer an environment with a home of its own and none of the caller's settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("KABAR_", "XDG_"))}
    return inherited | {"HOME": str(home)} | more


async def start(home: Path, *options: str, **environment: str) -> Process:
    """Start `kabar up --json`."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker.cli", "up", "--json", *options),
        cwd=CHECKOUT,
        env=environment_in(home, **environment),
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )


@asynccontextmanager
async def up(home: Path, *options: str, **environment: str) -> AsyncIterator[Running]:
    """Run it until the block ends, at the latest."""
    process = await start(home, *options, **environment)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            first = await process.stdout.readline()
        if not first:
            _, complaint = await process.communicate()
            pytest.fail(complaint.decode())
        yield Running(process, json.loads(first))
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


async def failure(home: Path, *options: str, **environment: str) -> tuple[int | None, str]:
    """Start it where it cannot start; answer its exit code and its message, once it is sure that it printed no line."""
    process = await start(home, *options, **environment)
    async with asyncio.timeout(START_SECONDS):
        printed, complaint = await process.communicate()
    assert printed == b""
    return process.returncode, complaint.decode()


async def publish_and_wait(amqp_url: str, event_id: str, channels: frozenset[str]) -> None:
    """Publish plain JSON as any program would, and return once Kabar has said that it was sent on these channels.

    It is for the sample people's admin, and its text is its id, by which its messages are told from the samples'.
    """
    data = {"service": "checkout", "error": event_id, "severity": "critical"}
    message = aio_pika.Message(
        json.dumps(data).encode(), content_type="application/json", message_id=event_id, app_id="test"
    )
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("kabar.status", "delivery.sent.#")
        exchange = await channel.get_exchange("kabar.events")
        await exchange.publish(message, "system.error", mandatory=True)
        missing = set(channels)
        async with asyncio.timeout(DELIVERY_SECONDS), queue.iterator(no_ack=True) as announcements:
            async for announcement in announcements:
                told = [change["data"] for change in json.loads(announcement.body)]
                missing -= {data["channel"] for data in told if data["event_id"] == event_id}
                if not missing:
                    return


async def arrived_on(pages: str, text: str) -> set[str]:
    """Answer on which channels the simulator has taken a message with this text."""
    async with aiohttp.ClientSession() as session, session.get(f"{pages}/api/arrivals?limit=2000") as answer:
        return {arrival["channel"] for arrival in (await answer.json())["arrivals"] if text in arrival["text"]}


async def assert_all_works(running: Running) -> None:
    family = psutil.Process(running.process.pid).children(recursive=True)
    addresses = running.addresses

    await publish_and_wait(addresses["amqp"], "by-hand-1", OUTSIDE)

    assert await arrived_on(addresses["pages"], "by-hand-1") == OUTSIDE
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        for name in ("pages", "health", "ready", "metrics"):
            await session.get(addresses[name])
    code, printed, _ = await running.stop()
    assert (code, printed) == (0, "")
    assert not [child for child in family if child.is_running()]


async def test_what_any_program_publishes_arrives_and_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """With nothing installed, one command gives a Kabar that delivers on every channel and ends without a trace."""
    async with up(tmp_path, KABAR_ATTEMPT_LIMIT="3") as running:
        children = psutil.Process(running.process.pid).children()
        assert [child.name() for child in children] == ["postgres"]
        shell = await asyncio.to_thread(Path(running.addresses["environment"]).read_text)
        assert f"export AMQP_URL={running.addresses['amqp']}\n" in shell
        assert "export KABAR_ATTEMPT_LIMIT=3\n" in shell
        assert (await asyncio.to_thread(Path(running.addresses["environment"]).stat)).st_mode & 0o077 == 0
        await assert_all_works(running)
        assert not await asyncio.to_thread(Path(running.addresses["environment"]).exists)


def test_a_terminal_shows_where_to_look_and_what_happens(tmp_path: Path) -> None:
    """Whoever tries Kabar in a terminal sees addresses and figures, not a wall of logs."""
    ours, theirs = pty.openpty()
    environment = environment_in(tmp_path, TERM="xterm-256color", COLUMNS="120", LINES="40")
    command = [sys.executable, "-m", "worker.cli", "up"]
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while not any(person in shown for person in (b"budi", b"citra", b"daniel", b"elena")):  # whom messages are for
            shown += os.read(ours, 65_536)
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # what reading a terminal gives whose other side is closed
            while True:
                shown += os.read(ours, 65_536)
        code = process.wait(STOP_SECONDS)
    os.close(ours)

    assert code == 0
    for told in (b"Kabar is up", b"http://127.0.0.1:", b"amqp-publish", b"events in", b"waiting", b"dead", b"Stopped."):
        assert told in shown
    assert b"process.ready" not in shown


async def test_a_real_rabbitmq_takes_the_development_brokers_place(tmp_path: Path, rabbitmq_url: str) -> None:
    """Pointed at a real RabbitMQ, the same command works with that one."""
    async with up(tmp_path, "--amqp", rabbitmq_url, "--samples") as running:
        assert running.addresses["amqp"] == rabbitmq_url
        await assert_all_works(running)


async def test_a_real_database_takes_postgresqls_place(tmp_path: Path, empty_database_url: str) -> None:
    """Pointed at a real PostgreSQL, the same command makes its tables there and starts no server."""
    async with up(tmp_path, "--database", empty_database_url, "--samples") as running:
        assert running.addresses["database"] == empty_database_url
        assert psutil.Process(running.process.pid).children() == []
        await assert_all_works(running)


async def test_variables_that_point_at_real_parts_are_told_of_and_not_used(tmp_path: Path) -> None:
    """Trying Kabar out never touches what the shell happens to be set up for."""
    async with up(tmp_path, KABAR_AMQP_URL="amqp://production.invalid", KABAR_CHANNELS="inbox") as running:
        await publish_and_wait(running.addresses["amqp"], "stray-1", OUTSIDE)
        _, _, complaint = await running.stop()

    assert "KABAR_AMQP_URL is set and not used here: say --amqp" in complaint
    assert "KABAR_CHANNELS is set and not used here" in complaint


async def test_after_a_kill_the_next_start_is_clean_and_keeps_the_data(tmp_path: Path) -> None:
    """However badly a run ended, the next one starts, and whom Kabar knew it still knows."""
    async with up(tmp_path) as first:
        first.process.kill()
        await first.process.wait()

    async with up(tmp_path, "--no-samples") as second:
        await publish_and_wait(second.addresses["amqp"], "after-kill-1", frozenset({"email"}))
        code, _, _ = await second.stop(signal.SIGTERM)

    assert code == 0


async def test_fresh_forgets_and_a_second_run_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """One folder serves one run at a time, which may begin anew; whoever comes second is told who is there."""
    async with up(tmp_path) as first:
        code, complaint = await failure(tmp_path)
        assert code == 2
        assert f"process {first.process.pid}, pages at {first.addresses['pages']}" in complaint
        assert "--home" in complaint
        await first.stop()

    async with up(tmp_path, "--no-samples", "--fresh") as second:
        connection = await asyncpg.connect(second.addresses["database"])
        assert await connection.fetchval("SELECT count(*) FROM people") == 0
        await connection.close()


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({"amqp": "http://x"}, "--amqp (KABAR_AMQP_URL): expected amqp://"),
        ({"amqp": "amqp://u:secret@127.0.0.1:1/"}, "--amqp: no broker let us in (127.0.0.1:1"),
        ({"amqp": "amqp://x", "amqp_port": 5999}, "leave one of them out"),
        ({"database": "mysql://x"}, "--database (KABAR_DATABASE_URL): expected postgresql://"),
        ({"database": "postgresql://u:secret@127.0.0.1:1/x"}, "--database: PostgreSQL did not let us in"),
        ({"database": "postgresql://x", "fresh": True}, "--fresh deletes"),
        ({"smtp": "smtp://127.0.0.1:1"}, "add --email-from"),
        ({"smtp": "http://x", "email_from": "K <k@example.com>"}, "--smtp (KABAR_SMTP_URL)"),
        ({"smtp": "smtp://127.0.0.1:1", "email_from": "K <k@example.com>"}, "--smtp: provider_unreachable"),
        ({"telegram_token": "nonsense"}, "--telegram-token (KABAR_TELEGRAM_TOKEN)"),
    ],
)
async def test_a_wrong_option_is_told_of_before_anything_starts(
    tmp_path: Path, wishes: dict[str, Any], expected: str
) -> None:
    """A wrong option is answered by its name, what is wrong and what to do, never by a secret."""
    with pytest.raises(KabarError) as told:
        await make_plan(Wishes(home=tmp_path, **wishes))

    assert expected in str(told.value)
    assert "secret" not in str(told.value)


async def test_a_port_asked_for_must_be_free(tmp_path: Path) -> None:
    """A port that was asked for is never replaced by another one in silence."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(KabarError, match=f"port {port} for the pages is taken"):
            await make_plan(Wishes(home=tmp_path, port=port))


async def test_a_usual_port_that_is_taken_is_replaced_and_told_of(tmp_path: Path) -> None:
    """What runs on this machine already is no obstacle, and the person learns where to look instead."""
    first = await make_plan(Wishes(home=tmp_path))
    await first.simulator.start()

    second = await make_plan(Wishes(home=tmp_path))
    await first.simulator.aclose()

    assert second.simulator.url != first.simulator.url
    assert any("is taken: the pages on" in notice for notice in second.notices)


@pytest.mark.parametrize("part", ["database", "amqp"])
async def test_samples_do_not_reach_a_real_part_unasked(
    part: str, tmp_path: Path, rabbitmq_url: str, empty_database_url: str
) -> None:
    """Sample alarms never wake the admins of a real system, unless somebody asks for them."""
    stand_ins = Wishes(home=tmp_path)
    urls = {"database": empty_database_url, "amqp": rabbitmq_url}
    real = replace(stand_ins, **{part: urls[part]})  # type: ignore[arg-type]  # both are texts

    assert (await make_plan(stand_ins)).has_samples
    assert not (await make_plan(real)).has_samples
    assert (await make_plan(replace(real, samples=True))).has_samples


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        (["--home", "/proc/kabar"], {}, "Choose a folder with --home"),
        ([], {"KABAR_PG_BIN": "/nowhere"}, "No PostgreSQL server programs were found"),
        ([], {"KABAR_ATTEMPT_LIMITS": "3"}, "KABAR_ATTEMPT_LIMITS is no setting; did you mean KABAR_ATTEMPT_LIMIT?"),
    ],
)
async def test_what_cannot_start_is_told_in_one_message(
    tmp_path: Path, options: list[str], environment: dict[str, str], expected: str
) -> None:
    """What is missing is told with its remedy, and never by a traceback."""
    code, complaint = await failure(tmp_path, *options, **environment)

    assert code == 2
    assert expected in complaint
    assert "Traceback" not in complaint


def test_the_summary_tells_figures_and_obeys_no_title() -> None:
    """The terminal shows how much was sent, waits and is dead; no message's title can command it."""
    change = Change(datetime.now(UTC), UUID(int=1), "custom.x", "ayu\x1b[2J", "email", "sent", "")
    figures = Figures(
        accepted=1234,
        repeated=0,
        rejected=2,
        dead=3,
        rows=(Row("email", sent=56, waiting=7, refused=0, unsure=0, skipped=0, dead=1),),
        newest=((change, "\x1b]0;owned\x07 [bold]Hi[/bold]"),),
        amiss=("the database is away (OSError)",),
    )
    console = Console(width=100)

    with console.capture() as capture:
        console.print(picture(figures))

    text = capture.get()
    assert "\x1b" not in text
    assert "\x07" not in text
    for told in ("1,234", "rejected 2", "dead letters 3", "56", "7", "[bold]Hi[/bold]", "the database is away"):
        assert told in text
    assert line(figures) == "events in 1234; sent email=56; waiting 7; dead 3; the database is away (OSError)"


def test_passwords_of_real_parts_are_not_shown() -> None:
    """Whoever looks over a shoulder learns no password."""
    urls = "amqp://u:p%40w@one:5672/v,amqps://u:pw@two/v"

    assert without_password(urls) == "amqp://u:***@one:5672/v,amqps://u:***@two/v"
    assert without_password("smtp://127.0.0.1:1025") == "smtp://127.0.0.1:1025"
