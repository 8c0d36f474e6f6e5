"""`kabar up`: all of Kabar on this machine and in the foreground, with stand-ins for what is not there.

PostgreSQL is a child process; the development broker, the provider simulator and the worker's roles live in this
process's event loop. Wires only: each part works without knowing of the others.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import structlog
from pydantic import SecretStr
from rich.console import Console
from rich.live import Live
from rich.text import Text

from schemas.producer import Producer, PublishError
from worker import log
from worker.bootstrap import Process
from worker.dev.greeting import ENVIRONMENT, addresses_of, as_json, environment_of, greet
from worker.dev.parts import Plan, Wishes, make_plan
from worker.dev.postgres import Postgres
from worker.dev.sample import SampleEvent, sample_events, sample_people
from worker.dev.summary import Summary, line, picture
from worker.errors import KabarError, ServiceUnavailable
from worker.ledger.connection import Ledger
from worker.ledger.migrate import migrate
from worker.settings import Settings

CUT_SHORT = 130
"""The exit code of a run that did not end in order: 128 and the number of SIGINT, as shells have it."""
_BURST = 12
_LOOK_SECONDS = 1.0
_LINE_SECONDS = 10.0
_PEOPLE_SECONDS = 10.0
_KNOWN = "SELECT count(*) FROM people WHERE id = ANY($1) AND changed_at >= $2"
_log = structlog.get_logger("up")


def default_home() -> Path:
    """Answer where the data are kept unless told otherwise: `kabar/up` in the XDG base directory for data."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "kabar" / "up"


async def up(wishes: Wishes) -> int:
    """Run until a signal ends it, and answer the exit code.

    The first SIGINT, SIGTERM or SIGHUP lets the worker finish what it is sending; a second does not wait for that.
    """
    run = _Run(wishes)
    work = asyncio.create_task(run.run())

    def on_signal() -> None:
        if not run.stop_in_order() and not work.cancelling():
            work.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    try:
        await work
    except asyncio.CancelledError:
        return CUT_SHORT
    return 0


class _Run:
    """One run, from nothing to nothing. What is started is on a stack and ends in the opposite order."""

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self._is_up = False
        self._stop = asyncio.Event()
        self._console = Console(highlight=False, stderr=wishes.json)
        self._status = self._console.status("")

    def stop_in_order(self) -> bool:
        """Begin to stop; false where that has begun already, or nothing is up yet."""
        if not self._is_up or self._stop.is_set():
            return False
        self._stop.set()
        return True

    async def run(self) -> None:
        with _alone(self._wishes.home) as lock, _new_log(self._wishes.home) as log_file:
            log.configure("info", "json", log_file)
            plan = await make_plan(self._wishes)
            for notice in plan.notices:
                self._console.print(Text(f"kabar: {notice}", style="yellow"), soft_wrap=True)
            async with AsyncExitStack() as stack:
                stack.callback((self._wishes.home / ENVIRONMENT).unlink, missing_ok=True)
                stack.callback(self._status.stop)
                settings = await self._start_parts(plan, stack)
                log.configure(settings.log_level, settings.log_format, log_file)
                await self._work(plan, settings, lock)
        if not self._wishes.json:
            self._console.print("[dim]Stopped.[/]")

    def _say(self, what: str) -> None:
        if self._console.is_terminal:
            self._status.update(f"[dim]{what} …[/]")
            self._status.start()

    async def _start_parts(self, plan: Plan, stack: AsyncExitStack) -> Settings:
        settings = plan.settings
        if "database" not in plan.real:
            data = self._wishes.home / "postgres"
            if self._wishes.fresh:
                await Postgres.erase(data)
            self._say("starting PostgreSQL" if data.exists() else "making a database")
            server = await stack.enter_async_context(Postgres.start(data))
            settings = settings.model_copy(update={"database_url": SecretStr(server.url)})
        self._say("bringing the ledger's schema to this version")
        await migrate(settings.database_url.get_secret_value())
        for part in (plan.simulator, plan.broker):
            if part is not None:
                stack.push_async_callback(part.aclose)
                await _listening(part.start())
        self._say("starting the worker")
        return settings

    async def _work(self, plan: Plan, settings: Settings, lock: TextIO) -> None:
        process = Process(settings)
        summary = Summary(settings.amqp_urls, process.ledger, settings.channels)
        try:
            async with asyncio.TaskGroup() as group:
                running = group.create_task(process.run(self._stop))
                listening = group.create_task(summary.run())
                await process.ready.wait()
                await summary.heard()
                async with Producer(settings.amqp_urls, source="kabar-up") as producer:
                    if plan.has_samples:
                        await self._introduce(plan, producer, process.ledger)
                    self._greet(plan, settings, process, lock)
                    shown = group.create_task(self._show(summary, process))
                    if plan.has_samples:
                        await _publish_samples(producer, 60 / self._wishes.rate, self._stop)
                    await self._stop.wait()
                    await shown
                await running
                listening.cancel()
        except BaseExceptionGroup as errors:
            raise _telling(errors) from None

    async def _introduce(self, plan: Plan, producer: Producer, ledger: Ledger) -> None:
        """Make the sample people known, and wait until they are: an event for a stranger reaches nobody."""
        self._say("introducing the sample people")
        now = datetime.now(UTC)
        people = sample_people(plan.simulator.slack_webhook_url)
        for person in people:
            await _publish(producer, (person, {"time": now}))
        with suppress(TimeoutError):
            async with asyncio.timeout(_PEOPLE_SECONDS):
                await _until_known(ledger, [person.person_id for person in people], now)

    def _greet(self, plan: Plan, settings: Settings, process: Process, lock: TextIO) -> None:
        self._status.stop()
        self._is_up = True
        addresses = addresses_of(plan, settings, http_port=process.http_port, log=_log_path(self._wishes.home))
        lock.write(f"process {os.getpid()}, pages at {addresses.pages}")
        lock.flush()
        environment = Path(addresses.environment)
        environment.unlink(missing_ok=True)
        environment.touch(mode=0o600)  # tokens and passwords stand in it
        environment.write_text(environment_of(plan, settings, os.environ), encoding="utf-8")
        if self._wishes.json:
            sys.stdout.write(as_json(addresses) + "\n")
            sys.stdout.flush()
        else:
            greet(self._console, plan, addresses, rate=self._wishes.rate)

    async def _show(self, summary: Summary, process: Process) -> None:
        if self._wishes.json:
            return
        if not self._console.is_terminal:
            while not await _passed(_LINE_SECONDS, self._stop):
                self._console.print(Text(line(await summary.look(process.reasons()))), soft_wrap=True)
            return
        with Live(console=self._console, auto_refresh=False) as live:
            while not await _passed(_LOOK_SECONDS, self._stop):
                live.update(picture(await summary.look(process.reasons())), refresh=True)
        self._console.print("[dim]Stopping: finishing what is being sent. Ctrl-C again does not wait for that.[/]")


@contextmanager
def _alone(home: Path) -> Iterator[TextIO]:
    """Hold the folder's lock, into which its holder writes how to find him."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (home / "up.lock").open("a+")
    except OSError as error:
        raise ServiceUnavailable(f"{home} cannot be used ({error.strerror}). Choose a folder with --home.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ServiceUnavailable(
                f"another `kabar up` runs on the data in {home} ({lock.read().strip() or 'still starting'})."
                " Stop it, or give this one a folder of its own with --home."
            ) from None
        lock.truncate(0)
        yield lock


def _log_path(home: Path) -> Path:
    return home / "kabar.log"


@contextmanager
def _new_log(home: Path) -> Iterator[TextIO]:
    path = _log_path(home)
    if path.exists():
        path.replace(home / "kabar.previous.log")
    with path.open("w", encoding="utf-8") as output:
        yield output


async def _listening(start: Awaitable[None]) -> None:
    try:
        await start
    except OSError as error:
        raise ServiceUnavailable(f"{error}. Somebody took the port just now: start again.") from None


async def _until_known(ledger: Ledger, people: list[str], since: datetime) -> None:
    while (await ledger.fetch(_KNOWN, people, since))[0]["count"] < len(people):  # noqa: ASYNC110 - rows do not tell
        await asyncio.sleep(0.02)


async def _publish_samples(producer: Producer, pause_seconds: float, stop: asyncio.Event) -> None:
    """Publish some at once, so that there is something to look at, and then one after each pause."""
    for number, event in enumerate(sample_events()):
        if stop.is_set() or (number >= _BURST and await _passed(pause_seconds, stop)):
            return
        await _publish(producer, event)


async def _publish(producer: Producer, event: SampleEvent) -> None:
    data, attributes = event
    try:
        await producer.publish(data, **attributes)
    except PublishError as error:
        _log.warning("sample.not_confirmed", event_id=error.event_id)


async def _passed(seconds: float, stop: asyncio.Event) -> bool:
    """Wait, and answer at once with true when it is time to stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    return stop.is_set()


def _telling(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Pick the one error that tells a person what to mend, if there is one."""
    ours = errors.subgroup(KabarError)
    if ours is None:
        return errors
    first: BaseException = ours
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
