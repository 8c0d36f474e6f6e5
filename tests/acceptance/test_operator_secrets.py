"""What operators' commands print: never a secret of ours, and private things only where they were asked for by name.

Over a ledger in which everything went wrong, every command that tells of events, deliveries or people is run, and what
it prints is searched for canaries.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from schemas.producer import Producer
from tests.acceptance.canaries import (
    ADDRESSES,
    CHAT,
    CODE,
    MAIL_ADDRESS,
    MAIL_PASSWORD,
    NAME,
    PRODUCER_TOKEN,
    SLACK_CHANNEL,
    SLACK_TOKEN,
    TELEGRAM_TOKEN,
    TEXT,
    WHISPERED,
    WORDS,
    an_event,
    secrets_of,
    send_nonsense,
    settings_for,
    the_person,
)
from tests.acceptance.gossip import Gossip, Mode, gossiping
from tests.acceptance.shell import Shell, a_shell
from tests.integration.command_line import Answer, environment_of
from tests.processes import worker
from worker.settings import Settings

PATIENCE_SECONDS = 30
HOLDING = {"KABAR_ON_UNSURE": "telegram=hold,slack=hold"}
ADDRESS_LIKE = (*ADDRESSES, PRODUCER_TOKEN)


@dataclass
class Operator:
    """Runs commands, and remembers what each printed that it must not have."""

    shell: Shell
    environment: Mapping[str, str]
    secrets: list[str]
    leaks: list[str] = field(default_factory=list)

    async def ask(self, command: str, *, may_tell: Sequence[str] = (), given: str = "", **environment: str) -> Answer:
        """Run a command; `may_tell`: the private things that are asked for with it. No command may tell a secret."""
        answer = await self.shell.run(command.split(" "), {**self.environment, **environment}, given)
        said = f"{answer.out}\n{answer.err}"
        if "Traceback" in said:
            self.leaks.append(f"kabar {command} ends with a traceback:\n{said[-600:]}")
        for canary in (*self.secrets, *ADDRESS_LIKE, *WORDS):
            written = (canary, quote(canary, safe=""))
            if canary not in may_tell and any(one.lower() in said.lower() for one in written):
                self.leaks.append(f"kabar {command} tells {canary!r}:\n{said[:3000]}")
        return answer

    async def ask_all(self, commands: Iterable[str], *, may_tell: Sequence[str] = ()) -> None:
        """Run commands that find what they are asked about."""
        for command in commands:
            answer = await self.ask(command, may_tell=may_tell)
            assert answer.code in (0, 1), f"kabar {command}: {answer.err}"


async def a_troubled_ledger(gossip: Gossip, settings: Settings, ledger: asyncpg.Connection[asyncpg.Record]) -> None:
    """Refusals, retries, held deliveries, dead letters of both kinds, and an address that is switched off."""
    amqp_url = settings.amqp_urls[0]
    async with Producer(amqp_url, source="shop") as producer, worker(settings, environment=HOLDING):
        await producer.publish(the_person(gossip))
        await until(ledger, "SELECT count(*) = 4 FROM addresses")
        for mode in (Mode.WHISPER, Mode.REFUSE, Mode.HANG_UP, Mode.BUSY, Mode.NO_SUCH_ADDRESS):
            gossip.mode = mode
            await producer.publish(an_event())
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not all(gossip.heard[mode, provider] for provider in ("email", "telegram", "slack")):
                    await asyncio.sleep(0.02)
        await send_nonsense(amqp_url)
        await until(ledger, "SELECT count(*) >= 7 FROM dead_letters WHERE kind = 'event'")
        await until(ledger, "SELECT count(*) > 0 FROM dead_letters WHERE kind = 'delivery'")
        await until(ledger, "SELECT count(*) > 0 FROM deliveries WHERE state = 'unsure'")
        await until(ledger, "SELECT count(*) > 0 FROM addresses WHERE suppressed_at IS NOT NULL")


async def until(ledger: asyncpg.Connection[asyncpg.Record], query: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await ledger.fetchval(query):
            await asyncio.sleep(0.05)


async def look_around(operator: Operator, ledger: asyncpg.Connection[asyncpg.Record]) -> None:
    """What one asks first: how it is, and what needs a human."""
    (told, held) = await ledger.fetch(
        "SELECT min(e.id) AS id FROM events e JOIN deliveries d ON d.event_key = e.key"
        " WHERE d.state IN ('dead', 'unsure') GROUP BY d.state"
    )
    events = (told["id"], held["id"], "n2", "n3")
    commands = [
        "status", "doctor", "audit", "dead groups --all", "dead list", "unsure list", "template list", "migrate",
        "dead replay --dry-run --since 1h", "unsure resend --dry-run --older-than 0s",
        *(f"status {event}" for event in events), *(f"explain {event} root" for event in events),
    ]  # fmt: skip
    told_as_json = ("status", "doctor", "audit", "dead groups", "dead list", "unsure list", "explain")
    commands += [f"{one} --json" for one in commands if one.startswith(told_as_json)]
    await operator.ask_all(commands)


async def look_closely(operator: Operator, ledger: asyncpg.Connection[asyncpg.Record], folder: Path) -> None:
    """What shows a message or a person: as much of it as the command's help says."""
    rows = await ledger.fetch(
        "SELECT min(id::text) AS id FROM dead_letters GROUP BY kind, CASE WHEN kind = 'event' THEN event_id END"
    )
    data = folder / "event.json"
    data.write_text(json.dumps({"service": NAME, "error": TEXT, "severity": "high"}))
    preview = f"template preview system.error --data {data} --to {folder / 'preview'}"
    named = NAME.split()

    await operator.ask_all(["people show root"], may_tell=named)
    await operator.ask_all(["people show root --reveal"], may_tell=(*named, *ADDRESSES))
    await operator.ask_all((f"dead show {row['id']} --full" for row in rows), may_tell=WORDS)
    await operator.ask_all((f"dead show {row['id']} --reveal" for row in rows), may_tell=(*WORDS, *ADDRESS_LIKE))
    await operator.ask_all(["dead export --all"], may_tell=(*WORDS, *ADDRESS_LIKE))
    await operator.ask_all([preview], may_tell=WORDS)
    for channel, address in (("email", MAIL_ADDRESS), ("telegram", CHAT), ("slack", SLACK_CHANNEL)):
        refused = await operator.ask(f"{preview} --channel {channel} --send-to {address}", may_tell=WORDS)
        assert "did not take it" in refused.err


async def mend(operator: Operator, ledger: asyncpg.Connection[asyncpg.Record], folder: Path) -> None:
    """What changes something, and tells of the change afterwards."""
    mended = folder / "mended.json"
    mended.write_text(
        json.dumps({"person_id": "root", "addresses": {"email": [MAIL_ADDRESS], "telegram": [CHAT]}, "name": CODE})
    )
    wrong = folder / "wrong.json"
    wrong.write_text(json.dumps({"person_id": "root", "addresses": {"email": [{MAIL_ADDRESS: CODE}]}}))
    (letter,) = await ledger.fetch("SELECT id FROM dead_letters WHERE event_id = 'n4'")

    await operator.ask(f"dead edit {letter['id']} --data {wrong}")
    edited = await operator.ask(f"dead edit {letter['id']} --data {mended}")
    await operator.ask(f"dead show {letter['id']}", may_tell=WORDS)
    for command in ("status n4", "explain n4 root", "explain n4 root --json"):
        await operator.ask(command)
    await operator.ask("dead import -", given=f'{{"id": "{MAIL_ADDRESS}", "body": "{TEXT}"}}\n{TEXT}\n')
    people = f'{{"person_id": "x", "addresses": {{"email": ["{MAIL_ADDRESS}", 1]}}}}\n{TEXT} {MAIL_ADDRESS}\n'
    await operator.ask("people import -", given=people)
    await operator.ask("people import -", given=f"id,email,{MAIL_ADDRESS}\nx,{MAIL_ADDRESS},{TEXT}\n")

    assert edited.code == 0, edited.err


async def mistake_settings(operator: Operator, settings: Settings) -> None:
    """A setting that is wrong, or refused, is named and not shown."""
    database, broker = map(urlsplit, (settings.database_url.get_secret_value(), settings.amqp_urls[0]))
    wrong = [
        (
            "KABAR_DATABASE_URL",
            urlunsplit(database._replace(netloc=f"root:{MAIL_PASSWORD}@{database.netloc.rpartition('@')[2]}")),
        ),
        ("KABAR_DATABASE_URL", f"postgres//canary:{MAIL_PASSWORD}@127.0.0.1/kabar"),
        (
            "KABAR_AMQP_URL",
            urlunsplit(broker._replace(netloc=f"root:{MAIL_PASSWORD}@{broker.netloc.rpartition('@')[2]}")),
        ),
        ("KABAR_AMQP_URL", f"amqp//canary:{MAIL_PASSWORD}@127.0.0.1"),
        ("KABAR_SMTP_URL", f"smtp://canary:{MAIL_PASSWORD}@127.0.0.1:x"),
        ("KABAR_TELEGRAM_TOKEN", f"{TELEGRAM_TOKEN} "),
        ("KABAR_SLACK_TOKEN", f"{SLACK_TOKEN} x"),
    ]
    for variable, value in wrong:
        for command in ("doctor", "migrate", "dead replay --since 1h"):
            await operator.ask(command, **{variable: value})


async def test_no_command_tells_a_secret_and_private_things_only_where_they_are_asked_for(
    database_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    """An operator may share a screen: addresses and texts are shown where a command's name says so, secrets nowhere."""
    ledger = await asyncpg.connect(database_url)
    async with gossiping(WHISPERED) as gossip, a_shell() as shell:
        settings = settings_for(gossip, database_url, rabbitmq_url)
        operator = Operator(shell, environment_of(settings, **HOLDING), secrets_of(database_url, rabbitmq_url))
        await a_troubled_ledger(gossip, settings, ledger)

        await look_around(operator, ledger)
        await look_closely(operator, ledger, tmp_path)
        gossip.mode = Mode.REJECT_LOGIN
        await operator.ask("doctor")
        await mend(operator, ledger, tmp_path)
        await mistake_settings(operator, settings)
    await ledger.close()

    assert not operator.leaks, "\n\n".join(operator.leaks)
