"""What is planted and what was heard, for the tests that search all that is said for private things."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import aio_pika

from schemas.catalogue import EventData
from schemas.envelope import STRUCTURED
from schemas.events.directory import PersonChanged
from schemas.events.system import SystemError as SystemFailed
from tests.acceptance.gossip import Gossip
from worker.settings import Settings

MAIL_USER, MAIL_PASSWORD = "canarymailer", "canary-Mail-Passw0rd"
TELEGRAM_TOKEN = "987654321:AAcanaryTelegramTokenAAAAAAAAAAAAAA"
SLACK_TOKEN = "xoxb-1234567890-canarySlackToken"
WEBHOOK_PATH = "/services/T0CANARY/B0CANARY/canaryWebhookSecret"
MAIL_ADDRESS, CHAT, SLACK_CHANNEL = "canary.person@canary.example", "777000123456", "C0CANARY123"
CODE = "K7Q9ZX"
NAME, TEXT = "Canaria Zwitscher", f"the canary sings behind the quiet meadow {CODE}"
WHISPERED = f"mailbox full: {CODE}, Zwitscher, meadow"
PRODUCER_TOKEN = "canary-Producer-T0ken"
ADDRESSES = ("canaryWebhookSecret", MAIL_ADDRESS, CHAT, SLACK_CHANNEL)
WORDS = (*NAME.split(), CODE, "canary sings", "meadow")


@dataclass
class Ears:
    """All that was said, and by whom."""

    canaries: list[str]
    said: list[tuple[str, str]] = field(default_factory=list)

    def hear(self, who: str, what: object) -> None:
        """Take down what was said."""
        self.said.append((who, what if isinstance(what, str) else json.dumps(what, default=str, ensure_ascii=False)))

    def leaks(self) -> Iterator[str]:
        """Answer each thing said that holds a canary."""
        for who, what in self.said:
            for canary in self.canaries:
                if canary.lower() in what.lower():
                    yield f"{who} tells {canary!r}: {what[:600]}"


def canaries(*urls: str) -> list[str]:
    """Each private thing, as it is and as it may be written."""
    plain = [*secrets_of(*urls), PRODUCER_TOKEN, *ADDRESSES, *WORDS]
    return [*plain, *(quote(one, safe="") for one in plain)]


def secrets_of(*urls: str) -> list[str]:
    """What opens a door: the passwords of these services, and what the providers know us by."""
    passwords = [urlsplit(url).password or "" for url in urls]
    assert all(passwords), "the services of this run have no passwords to plant"
    login = base64.b64encode(f"\0{MAIL_USER}\0{MAIL_PASSWORD}".encode()).decode()
    return [*passwords, MAIL_USER, MAIL_PASSWORD, login, TELEGRAM_TOKEN, SLACK_TOKEN]


def settings_for(gossip: Gossip, database_url: str, amqp_url: str, **more: object) -> Settings:
    """Settings of a deployment with every channel, whose providers gossip."""
    origin = f"http://127.0.0.1:{gossip.http_port}"
    given: dict[str, object] = {
        "amqp_url": amqp_url,
        "database_url": database_url,
        "channels": ("inbox", "email", "telegram", "slack"),
        "attempt_limit": 2,
        "smtp_url": f"smtp://{MAIL_USER}:{MAIL_PASSWORD}@127.0.0.1:{gossip.smtp_port}",
        "email_from": "Kabar <kabar@example.com>",
        "telegram_token": TELEGRAM_TOKEN,
        "telegram_api_url": origin,
        "slack_token": SLACK_TOKEN,
        "slack_api_url": f"{origin}/api",
        "slack_webhook_origins": (origin,),
        "http_port": 0,
        "log_level": "debug",
    }
    return Settings(**(given | more))  # type: ignore[arg-type]  # pydantic checks them


def the_person(gossip: Gossip) -> EventData:
    """Somebody with an address on every channel, and two on Slack."""
    slack = [f"http://127.0.0.1:{gossip.http_port}{WEBHOOK_PATH}", SLACK_CHANNEL]
    addresses = {"email": [MAIL_ADDRESS], "telegram": [CHAT], "slack": slack}
    return PersonChanged(person_id="root", name=NAME, roles=["admin"], addresses=addresses)


def an_event() -> EventData:
    """Something to tell that person."""
    return SystemFailed(service=NAME, error=TEXT, severity="high")


async def send_nonsense(amqp_url: str) -> None:
    """What Kabar must reject, with canaries in all places that a reason might quote."""
    bodies = [
        f"{{{TEXT}",
        json.dumps({"id": "n1", "source": "shop", "type": "system.error", "data": {"service": [TEXT]}}),
        json.dumps({"id": "n2", "source": "shop", "type": "system.error", "data": TEXT}),
        json.dumps({"id": "n3", "source": "shop", "type": "no.such.type", "data": {MAIL_ADDRESS: TEXT}}),
        json.dumps({"id": "n4", "source": "shop", "type": "person.changed",
                    "data": {"person_id": "root", "addresses": {"email": [MAIL_ADDRESS, {TEXT: 1}]}}}),
        json.dumps({"id": "n5", "source": "shop", "type": "system.error", "time": TEXT, "data": {}}),
        json.dumps({"id": "n6", "source": "shop", "type": "preference.changed",
                    "data": {"person_id": "root", "scope": TEXT, "channel": "email", "enabled": MAIL_ADDRESS}}),
    ]  # fmt: skip
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange("kabar.events")
        for body in bodies:
            message = aio_pika.Message(body.encode(), content_type=STRUCTURED)
            message.headers = {"authorization": PRODUCER_TOKEN, "x-note": TEXT}
            await exchange.publish(message, "system.error")
