"""Which parts `kabar up` runs itself and which are real: addresses, ports, settings, and whether the real ones answer.

Nothing listens yet when a `Plan` is made; every wrong option has been told of by then.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import aiormq
import asyncpg
from yarl import URL

from worker.broker.connection import BROKER_ERRORS
from worker.deployment import build_channels
from worker.dev import process
from worker.dev.broker import DevelopmentBroker
from worker.dev.simulator import Simulator
from worker.errors import ServiceUnavailable, SettingsInvalid
from worker.settings import Settings, load_settings, variable

CHANNELS: Final = ("inbox", "email", "telegram", "slack")
PAGES_PORT: Final = 8500
AMQP_PORT: Final = 5672  # https://www.iana.org/assignments/service-names-port-numbers
SMTP_PORT: Final = 1025  # where MailHog and Mailpit listen
_ANSWER_SECONDS = 10.0
_NOT_YET = "postgresql://127.0.0.1/not-yet-started"
_OPTIONS = {
    "amqp_url": "--amqp",
    "database_url": "--database",
    "smtp_url": "--smtp",
    "email_from": "--email-from",
    "telegram_token": "--telegram-token",
    "slack_token": "--slack-token",
}
_PROVIDERS = {"email": "--smtp", "telegram": "--telegram-token", "slack": "--slack-token"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command line asked for. An empty text or None takes the stand-in or the default.

    `samples` None: only where no part is real, because sample events would reach real people. `rate` is in events a
    minute. `home` holds the data, the log and the lock.
    """

    home: Path
    amqp: str = ""
    database: str = ""
    smtp: str = ""
    email_from: str = ""
    telegram_token: str = ""
    slack_token: str = ""
    slack_webhooks: bool = False
    port: int | None = None
    amqp_port: int | None = None
    fresh: bool = False
    samples: bool | None = None
    rate: int = 30
    json: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts, none of them started. `broker` None: a real one. `notices` are for the person to read.

    `given` are those of the settings that are not the environment's.
    """

    settings: Settings
    given: dict[str, object]
    simulator: Simulator
    broker: DevelopmentBroker | None
    has_samples: bool
    real: frozenset[str]
    notices: tuple[str, ...]


async def make_plan(wishes: Wishes) -> Plan:
    """Decide on every part and reach the real ones. Raises a KabarError that names the option and the remedy."""
    _check_contradictions(wishes)
    notices: list[str] = []
    pages_port = _port(wishes.port, PAGES_PORT, "the pages", notices)
    simulator = Simulator(http_port=pages_port, smtp_port=_port(None, SMTP_PORT, "the mail server", notices))
    broker = None
    if not wishes.amqp:
        broker = DevelopmentBroker(port=_port(wishes.amqp_port, AMQP_PORT, "the broker", notices))
    given = _given(wishes, simulator, broker)
    if variable("http_port") not in os.environ:
        given["http_port"] = _port(None, Settings.model_fields["http_port"].default, "health and metrics", notices)
    notices += _unused_variables(given)
    real = frozenset(_real(wishes))
    settings = _load(given)
    await _reach(wishes, settings, real)
    has_samples = not real if wishes.samples is None else wishes.samples
    return Plan(settings, given, simulator, broker, has_samples, real, tuple(notices))


def without_password(url: str) -> str:
    """Answer a URL, or several with commas between, fit for a terminal that others may see."""
    return re.sub(r"(://[^:/@,]*):[^@,]*@", r"\1:***@", url)


def _check_contradictions(wishes: Wishes) -> None:
    if wishes.amqp and wishes.amqp_port is not None:
        raise SettingsInvalid("--amqp-port is the development broker's, which --amqp replaces: leave one of them out")
    if wishes.database and wishes.fresh:
        raise SettingsInvalid("--fresh deletes what kabar's own PostgreSQL holds, which --database replaces")
    if wishes.smtp and not wishes.email_from and variable("email_from") not in os.environ:
        raise SettingsInvalid("--smtp needs a sender: add --email-from 'Kabar <no-reply@your-domain.example>'")


def _port(wanted: int | None, usual: int, purpose: str, notices: list[str]) -> int:
    """Choose a port: the one asked for or none, else the usual one, else any that is free."""
    if wanted is not None:
        if not _is_free(wanted):
            raise ServiceUnavailable(f"port {wanted} for {purpose} is taken or not allowed. Choose another one.")
        return wanted
    if _is_free(usual):
        return usual
    free = process.free_port()
    notices.append(f"port {usual} is taken: {purpose} on {free} instead")
    return free


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _given(wishes: Wishes, simulator: Simulator, broker: DevelopmentBroker | None) -> dict[str, object]:
    return {
        # The path is spelt out, for not every client takes an empty one as the virtual host "/".
        "amqp_url": wishes.amqp if broker is None else f"amqp://guest:guest@{broker.host}:{broker.port}/%2F",
        "database_url": wishes.database or _NOT_YET,
        "channels": CHANNELS,
        **_email(wishes, simulator),
        **_telegram(wishes, simulator),
        **_slack(wishes, simulator),
    }


def _email(wishes: Wishes, simulator: Simulator) -> dict[str, object]:
    given: dict[str, object] = {"smtp_url": wishes.smtp or simulator.smtp_url}
    if wishes.email_from:
        given["email_from"] = wishes.email_from
    elif not wishes.smtp and variable("email_from") not in os.environ:
        given["email_from"] = "Kabar <kabar@example.com>"
    return given


def _telegram(wishes: Wishes, simulator: Simulator) -> dict[str, object]:
    if wishes.telegram_token:
        return {"telegram_token": wishes.telegram_token}
    return {"telegram_token": "100000:simulated-by-kabar-up", "telegram_api_url": simulator.telegram_api_url}


def _slack(wishes: Wishes, simulator: Simulator) -> dict[str, object]:
    """The simulator's webhooks are always allowed, Slack's own only where Slack was asked for."""
    given: dict[str, object] = {"slack_webhook_origins": (simulator.url,)}
    if wishes.slack_token or wishes.slack_webhooks:
        given["slack_webhook_origins"] = ("https://hooks.slack.com", simulator.url)
    if wishes.slack_token:
        return given | {"slack_token": wishes.slack_token}
    return given | {"slack_token": "xoxb-simulated-by-kabar-up", "slack_api_url": simulator.slack_api_url}


def _unused_variables(given: dict[str, object]) -> Iterator[str]:
    """A variable that is set and yet not used would otherwise be a riddle."""
    for field in given:
        if (name := variable(field)) in os.environ:
            remedy = f': say {_OPTIONS[field]} "${name}" to use it' if field in _OPTIONS else ""
            yield f"{name} is set and not used here{remedy}"


def _real(wishes: Wishes) -> Iterator[str]:
    named = {
        "amqp": wishes.amqp,
        "database": wishes.database,
        "email": wishes.smtp,
        "telegram": wishes.telegram_token,
        "slack": wishes.slack_token or wishes.slack_webhooks,
    }
    return (name for name, value in named.items() if value)


def _load(given: dict[str, object]) -> Settings:
    try:
        return load_settings(None, **given)
    except SettingsInvalid as error:
        raise SettingsInvalid(_in_options(str(error))) from None


def _in_options(message: str) -> str:
    for field, option in _OPTIONS.items():
        message = message.replace(variable(field), f"{option} ({variable(field)})")
    return message


async def _reach(wishes: Wishes, settings: Settings, real: frozenset[str]) -> None:
    try:
        channels = build_channels(settings)
    except SettingsInvalid as error:
        raise SettingsInvalid(_in_options(str(error))) from None
    try:
        for name in _PROVIDERS.keys() & real:
            for channel in channels[name]:
                if problem := await channel.check():
                    raise ServiceUnavailable(f"{_PROVIDERS[name]}: {problem}")
    finally:
        for channel in chain.from_iterable(channels.values()):
            await channel.aclose()
    if wishes.amqp:
        await _reach_broker(settings.amqp_urls)
    if wishes.database:
        await _reach_database(wishes.database)


async def _reach_broker(urls: list[str]) -> None:
    problems = []
    for url in urls:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                connection = await aiormq.connect(url)
        except (*BROKER_ERRORS, ValueError) as error:
            problems.append(f"{_place(url)}: {_said(error)}")
        else:
            await connection.close()
            return
    raise ServiceUnavailable(
        f"--amqp: no broker let us in ({'; '.join(problems)}). Check host, port, user, password and virtual host, or"
        " leave --amqp out for the development broker."
    )


async def _reach_database(url: str) -> None:
    try:
        connection = await asyncpg.connect(url, timeout=_ANSWER_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError) as error:
        raise ServiceUnavailable(
            f"--database: PostgreSQL did not let us in ({_place(url)}: {_said(error)}). Check host, port, user,"
            " password and the database's name, or leave --database out for one of kabar's own."
        ) from None
    await connection.close()


def _place(url: str) -> str:
    try:
        parsed = URL(url)
        return f"{parsed.host}:{parsed.port}" if parsed.port else str(parsed.host)
    except ValueError:
        return "an address that cannot be read"


def _said(error: BaseException) -> str:
    text = without_password(str(error)).strip()
    return f"{type(error).__name__}, {text}" if text else type(error).__name__
