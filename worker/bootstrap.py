"""The only place that wires: settings become a process with its roles, and a signal brings it to rest."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Collection, Sequence
from datetime import timedelta
from itertools import chain
from typing import Literal

import structlog
from aiormq.abc import AbstractConnection

from worker import metrics
from worker.broker.consumer import Consumer
from worker.broker.publisher import Publisher
from worker.broker.topology import declare, topology
from worker.deployment import build_catalogue, build_channels, build_editions, channel_rules
from worker.errors import KabarError, ServiceUnavailable, SettingsInvalid
from worker.health import HealthServer
from worker.ledger.connection import Ledger, advice
from worker.roles.accounts import Accounts
from worker.roles.announcer import Announcer
from worker.roles.courier import Courier, inboxes_of
from worker.roles.intake import Intake
from worker.roles.providers import providers_of
from worker.roles.retention import Retention
from worker.roles.settler import Settler
from worker.roles.text_watch import TextWatch
from worker.roles.timer import Timer
from worker.settings import Settings
from worker.traces import traces

Role = Literal["intake", "courier", "timer"]
ROLES: tuple[Role, ...] = ("intake", "courier", "timer")
DRAIN_SECONDS = 21.0
"""How long a drain waits for the work, counted from the signal; the rest of 25 s is for saying goodbye."""
PATIENCE_SECONDS = 60.0
"""How long the database may be away before what was taken from the broker is given back."""
_log = structlog.get_logger("process")


class Process:
    """One running worker. `courier_channels` narrows which channels its courier serves."""

    def __init__(self, settings: Settings, roles: Sequence[Role] = ROLES, courier_channels: Sequence[str] = ()) -> None:
        self._channels = build_channels(settings)
        _check_narrowing(courier_channels, self._channels)
        catalogue = build_catalogue(settings)
        rules = channel_rules(settings, self._channels, catalogue)
        wanted = topology(catalogue, self._channels)

        async def declare_all(connection: AbstractConnection) -> None:
            channel = await connection.channel()
            await declare(channel, wanted)
            await channel.close()

        self.ledger = Ledger(settings.database_url.get_secret_value(), connections=settings.database_connections)
        self._publisher = Publisher(settings.amqp_urls, declare_all)
        self._announcer = Announcer(self._publisher)
        self._settler = Settler(self.ledger, self._publisher, self._announcer)
        self._accounts = Accounts(self.ledger)
        self._texts = TextWatch(self.ledger, build_editions(settings) if "courier" in roles else None)
        self._intake = (
            Intake(self.ledger, self._publisher, self._announcer, catalogue, rules, self._texts)
            if "intake" in roles
            else None
        )
        self._timer = (
            Timer(self.ledger, self._publisher, self._announcer, tuple(self._channels)) if "timer" in roles else None
        )
        self._retention = (
            Retention(self.ledger, catalogue, timedelta(days=settings.retention_days)) if "timer" in roles else None
        )
        self._couriers: list[Courier] = []
        if "courier" in roles:
            self._couriers = [
                Courier(
                    providers_of(channels, self._accounts),
                    self.ledger,
                    self._settler,
                    self._announcer,
                    catalogue,
                    self._texts,
                )
                for name, channels in self._channels.items()
                if not courier_channels or name in courier_channels
            ]
        inboxes = [
            *(self._intake.inboxes if self._intake else ()),
            *(self._timer.inboxes if self._timer else ()),
            *inboxes_of(self._couriers),
        ]
        self._consumer = Consumer(settings.amqp_urls, inboxes, declare_all)
        self._health = HealthServer(settings.http_host, settings.http_port, self.reasons, self._measure)
        self._traces_url = settings.traces_url
        self._draining = False
        self.ready = asyncio.Event()
        """Set once database and broker have been reached and consumption has begun."""
        self._roles = tuple(roles)

    @property
    def http_port(self) -> int:
        """The port of /healthz, /readyz and /metrics."""
        return self._health.port

    def reasons(self) -> list[str]:
        """Answer why this process cannot work right now; empty where it can."""
        return [reason for reason in self._causes().values() if reason]

    def _causes(self) -> dict[str, str]:
        return {
            "shutdown": "shutting down" if self._draining else "",
            "database": self.ledger.outage,
            "broker_consume": self._consumer.link.outage,
            "broker_publish": self._publisher.link.outage,
            "broker_blocked": self._publisher.link.blocked,
        }

    def _measure(self) -> None:
        causes = self._causes()
        for cause, reason in causes.items():
            metrics.paused.labels(cause).set(bool(reason))
        for role in self._roles:
            metrics.ready.labels(role).set(not any(causes.values()))

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then drain: finish what is being sent, give back the rest."""
        if self._traces_url:
            traces.open(self._traces_url)
        await self.ledger.open()
        await self._health.start()
        try:
            async with asyncio.TaskGroup() as group:
                links = [group.create_task(link.run()) for link in (self._publisher.link, self._consumer.link)]
                voices = [group.create_task(one.run()) for one in (self._announcer, self._settler, self._accounts)]
                links.append(
                    group.create_task(self._consumer.rest_while(lambda: self.ledger.away_seconds > PATIENCE_SECONDS))
                )
                work = [group.create_task(role.run()) for role in self._working_roles()]
                ready = group.create_task(self._say_ready())
                await stop.wait()
                ready.cancel()
                await self._drain(work, voices)
                for task in links:
                    task.cancel()
        finally:
            await self._close()

    def _working_roles(self) -> list[Intake | Timer | Retention | Courier | TextWatch]:
        watch = self._texts if self._intake or self._couriers else None
        return [
            role for role in (self._intake, self._timer, self._retention, *self._couriers, watch) if role is not None
        ]

    async def _say_ready(self) -> None:
        await self.ledger.persist(lambda: self.ledger.fetch("SELECT 1"))
        await self._publisher.link.up.wait()
        await self._consumer.link.up.wait()
        self.ready.set()
        _log.info("process.ready", roles=",".join(self._roles), http_port=self.http_port)

    async def _drain(self, work: Sequence[asyncio.Task[None]], voices: Sequence[asyncio.Task[None]]) -> None:
        _log.info("process.draining")
        self._draining = True
        deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS
        await self._consumer.stop()
        for role in (*self._couriers, self._timer, self._retention, self._texts):
            if role is not None:
                role.stop()
        left = deadline - asyncio.get_running_loop().time()
        _, late = await asyncio.wait(work, timeout=left) if work else (set(), set())
        self._settler.stop()
        self._announcer.stop()
        self._accounts.stop()
        _, silent = await asyncio.wait(voices, timeout=1.0)
        for task in (*late, *silent):
            task.cancel()
        _log.info("process.drained", cut_off=len(late))

    async def _close(self) -> None:
        for channel in chain.from_iterable(self._channels.values()):
            await channel.aclose()
        await self._consumer.link.aclose()
        await self._publisher.link.aclose()
        await self._health.aclose()
        await self.ledger.aclose()
        await traces.aclose()


def _check_narrowing(wanted: Sequence[str], channels: Collection[str]) -> None:
    for name in wanted:
        if name not in channels:
            raise SettingsInvalid(f"--channels names {name}, which KABAR_CHANNELS does not switch on")


def keep_what_stands() -> None:
    """What stands now stands for ever: keep the collector from walking it again and again amid the sends."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


async def run_until_signal(process: Process) -> None:
    """Run a process until SIGTERM or SIGINT. What an operator can mend is raised as `ServiceUnavailable`."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await process.run(stop)
    except ExceptionGroup as errors:
        remedies = _remedies(errors)
        if "" in remedies:
            raise
        raise ServiceUnavailable("; ".join(sorted(remedies))) from None


def _remedies(errors: ExceptionGroup) -> set[str]:
    """Answer what an operator should do about each of these; '' among them: one is for a developer."""
    remedies: set[str] = set()
    for error in errors.exceptions:
        match error:
            case ExceptionGroup():
                remedies |= _remedies(error)
            case KabarError():
                remedies.add(str(error))
            case _:
                remedies.add(advice(error))
    return remedies
