"""Sending dead letters again, and dropping them. Every change is in the audit with the operator's name."""

from __future__ import annotations

import getpass
from collections.abc import Sequence

import typer

from schemas.catalogue import Catalogue, Lane
from worker.bootstrap import build_catalogue
from worker.broker.consumer import ORIGINAL_KEY
from worker.broker.publisher import Publisher
from worker.broker.topology import intake_queue
from worker.commands.dead_view import find_letter
from worker.commands.screen import moment
from worker.commands.session import open_ledger, open_publisher
from worker.core.dead_letter import revive
from worker.errors import BrokerAway
from worker.ledger.connection import Ledger, Record
from worker.ledger.dead_letters import replay_delivery, resolve
from worker.ledger.inquiry import find_delivery
from worker.settings import Settings


async def drop(settings: Settings, ids: Sequence[str], reason: str) -> int:
    """Drop letters; answers the exit code. Nothing is dropped unless each id names one letter."""
    failed = 0
    async with open_ledger(settings) as ledger:
        for letter in await _find_all(ledger, ids):
            if letter["state"] != "open":
                failed += _refuse(letter, f"is {letter['state']} already")
            elif await resolve(ledger, letter, "dropped", operator(), reason):
                _tell(letter, "dropped")
            else:
                failed += _refuse(letter, "has just arrived again: look at it once more")
    return 1 if failed else 0


async def replay(settings: Settings, ids: Sequence[str]) -> int:
    """Send letters again; answers the exit code. Nothing is sent unless each id names one letter."""
    catalogue = build_catalogue(settings)
    failed = 0
    async with open_ledger(settings) as ledger:
        letters = await _find_all(ledger, ids)
        async with open_publisher(settings) as publisher:
            for letter in letters:
                match letter["kind"]:
                    case "delivery":
                        failed += await _replay_delivery(settings, ledger, publisher, letter)
                    case "event":
                        failed += await _replay_event(catalogue, ledger, publisher, letter)
                    case _:
                        failed += _refuse(letter, "is a job that cannot be read, and holds no message: drop it")
    return 1 if failed else 0


def operator() -> str:
    """Answer who works here, for the audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


async def _find_all(ledger: Ledger, ids: Sequence[str]) -> list[Record]:
    letters = [await find_letter(ledger, given) for given in ids]
    return list({letter["id"]: letter for letter in letters}.values())


async def _replay_delivery(settings: Settings, ledger: Ledger, publisher: Publisher, letter: Record) -> int:
    channel = letter["channel"]
    if channel not in settings.channels:
        return _refuse(letter, f"is for {channel}, which KABAR_CHANNELS does not switch on")
    ready = await replay_delivery(ledger, letter, operator(), settings.attempt_limit)
    if not ready:
        return _refuse(letter, await _what_it_is(ledger, letter))
    try:
        await publisher.publish_jobs(ready)
    except* BrokerAway:
        _tell(letter, "replayed; the broker did not confirm its job, so the timer hands it out in about a minute")
    else:
        _tell(letter, "replayed")
    return 0


async def _what_it_is(ledger: Ledger, letter: Record) -> str:
    delivery = await find_delivery(ledger, letter["delivery_id"])
    if delivery is None:
        return "is of a delivery that is not in the ledger any more: drop it"
    if delivery["state"] == "dead":
        return f"is of a delivery that expired {moment(delivery['expires_at'])}: too late to send, drop it"
    return f"is of a delivery that is not dead any more but {delivery['state']}: drop it"


async def _replay_event(catalogue: Catalogue, ledger: Ledger, publisher: Publisher, letter: Record) -> int:
    info = catalogue.find(letter["event_type"])
    queue = intake_queue(info.lane if info else Lane.NORMAL)
    message = revive(letter["body"], letter["properties"], letter["routing_key"])
    headers = {**message.headers, ORIGINAL_KEY: letter["routing_key"]}
    try:
        await publisher.publish_raw(message, exchange="", routing_key=queue, headers=headers)
    except BrokerAway:
        return _refuse(letter, f"was not confirmed by {queue}: start a worker once, so that it is there, and repeat")
    if await resolve(ledger, letter, "replayed", operator(), queue):
        _tell(letter, "replayed")
        return 0
    return _refuse(letter, "was replayed, and has failed again: `kabar dead show` says why")


def _tell(letter: Record, what: str) -> None:
    typer.echo(f"{str(letter['id'])[:8]} {what}")


def _refuse(letter: Record, why: str) -> int:
    typer.secho(f"{str(letter['id'])[:8]} {why}", fg="red", err=True)
    return 1
