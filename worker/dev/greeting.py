"""What `kabar up` says once all is ready: where everything is, and how to publish by hand. Pure but for the console."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
from rich.console import Console
from rich.text import Text

from worker.dev.parts import Plan, without_password
from worker.settings import PREFIX, Settings, variable

ENVIRONMENT: Final = "environment"
"""A file in the home folder that makes a shell's commands work on what runs here."""
_WIDTH = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where everything is. `slack_webhooks` wants a name behind it, and every name is a webhook of the simulator."""

    pages: str
    amqp: str
    database: str
    smtp: str
    telegram: str
    slack: str
    slack_webhooks: str
    health: str
    ready: str
    metrics: str
    log: str
    home: str
    environment: str


def addresses_of(plan: Plan, settings: Settings, *, http_port: int, log: Path) -> Addresses:
    """Collect the addresses of parts that run."""
    host = "127.0.0.1" if settings.http_host in ("0.0.0.0", "::") else settings.http_host  # noqa: S104 - compared only
    http = f"http://{host}:{http_port}"
    return Addresses(
        pages=plan.simulator.url,
        amqp=settings.amqp_url.get_secret_value(),
        database=settings.database_url.get_secret_value(),
        smtp=settings.smtp_url.get_secret_value() if settings.smtp_url else "",
        telegram=settings.telegram_api_url,
        slack=settings.slack_api_url,
        slack_webhooks=plan.simulator.slack_webhook_url(""),
        health=f"{http}/healthz",
        ready=f"{http}/readyz",
        metrics=f"{http}/metrics",
        log=str(log),
        home=str(log.parent),
        environment=str(log.parent / ENVIRONMENT),
    )


def greet(console: Console, plan: Plan, addresses: Addresses, *, rate: int) -> None:
    """Tell a person all of it. Lines are never broken, so that whatever is copied is whole."""
    console.print("[bold green]Kabar is up[/][dim], and Ctrl-C stops all of it.[/]\n")
    _row(console, "Pages", addresses.pages, "e-mails, Telegram and Slack messages that arrived")
    _row(console, "AMQP", *_broker(plan, addresses))
    _row(console, "Ledger", *_ledger(plan, addresses))
    for name, address in (("email", addresses.smtp), ("telegram", addresses.telegram), ("slack", addresses.slack)):
        if name in plan.real:
            _row(console, name.capitalize(), without_password(address), "the real one")
    _row(console, "Health", addresses.ready, "and /healthz, /metrics")
    _row(console, "Log", addresses.log, "")
    _row(
        console,
        "Shell",
        f". {shlex.quote(addresses.environment)}",
        "then `kabar status`, `kabar dead`, `kabar run` work on this",
    )
    _row(console, "Samples", _samples(plan, rate), "")
    console.print("\n [dim]Publish by hand (apt install amqp-tools; other languages: README.md):[/]")
    console.print(Text(f" {example(addresses.amqp, known='ayu' if plan.has_samples else '')}"), soft_wrap=True)


def environment_of(plan: Plan, settings: Settings, environ: Mapping[str, str]) -> str:
    """Answer shell commands that set what a command, one worker more, or whoever publishes needs to take part.

    `environ`: what `up` was given itself, of which it has its own events and texts, too.
    """
    values = plan.given | {"database_url": settings.database_url.get_secret_value(), "http_port": 0}
    words = {name: value for name, value in environ.items() if name.startswith(PREFIX) or name == "PYTHONPATH"}
    words["AMQP_URL"] = settings.amqp_urls[0]
    words |= {
        variable(name): ",".join(value) if isinstance(value, tuple) else str(value) for name, value in values.items()
    }
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in words.items())


def as_json(addresses: Addresses) -> str:
    """Answer the addresses as one line of JSON."""
    return orjson.dumps(addresses).decode()


def example(amqp_url: str, *, known: str) -> str:
    """Answer a shell command that publishes an event: to a person who is known, else one that makes a person known."""
    data: dict[str, object]
    if known:
        event_type = "custom.hello"
        data = {"user_ids": [known], "title": "Hello", "message": "Published by hand"}
    else:
        event_type = "person.changed"
        data = {"person_id": "me", "name": "Me", "addresses": {"email": ["me@example.com"]}}
    event = {"specversion": "1.0", "id": "ID", "source": "shell", "type": event_type, "data": data}
    body = shlex.quote(orjson.dumps(event).decode()).replace('"ID"', "\"'$RANDOM'\"")
    address = without_password(amqp_url) if "guest:guest@" not in amqp_url else amqp_url
    return (
        f"amqp-publish -u {shlex.quote(address)} -e kabar.events -r {event_type}"
        f" -C application/cloudevents+json -b {body}"
    )


def _row(console: Console, name: str, address: str, remark: str) -> None:
    text = Text.assemble(f" {name:<{_WIDTH}}", (address, "cyan"), (f"  {remark}" if remark else "", "dim"))
    console.print(text, soft_wrap=True)


def _broker(plan: Plan, addresses: Addresses) -> tuple[str, str]:
    if plan.broker is None:
        return without_password(addresses.amqp), "the real one"
    return addresses.amqp, "development broker: keeps nothing on disk; production is RabbitMQ"


def _ledger(plan: Plan, addresses: Addresses) -> tuple[str, str]:
    if "database" in plan.real:
        return without_password(addresses.database), "the real one"
    return addresses.database, f"kept in {addresses.home}"


def _samples(plan: Plan, rate: int) -> str:
    if plan.has_samples:
        return f"{rate} events a minute for six sample people"
    if plan.real:
        return (
            f"none, because some parts are real ({', '.join(sorted(plan.real))}); --samples publishes them all the same"
        )
    return "none"
