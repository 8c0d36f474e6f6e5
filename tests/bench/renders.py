"""What rendering alone costs: one delivery of the measured job on each channel, and the loading of all built-in texts.

CPU time of this process. Each figure is the best of many short rounds: others on the machine can only make it worse.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from itertools import islice
from pathlib import Path
from time import process_time
from typing import Any
from uuid import UUID

import orjson

from schemas.catalogue import Catalogue, Lane
from tests.bench.errors import RunFailed
from tests.bench.events import BenchPaid
from tests.bench.people import person_id
from tests.bench.producer import body
from tests.bench.results import Renders
from worker.bootstrap import keep_what_stands
from worker.channels.base import Channel
from worker.channels.email import EmailChannel, Mail
from worker.channels.slack import SlackChannel
from worker.channels.telegram import TelegramChannel
from worker.core.editions import Editions
from worker.core.outcome import Deferred, Refused, UnsurePolicy
from worker.ledger.deliveries import Leased
from worker.pipeline.render import render
from worker.texts import BUILT_IN, load_texts, read_sources

_TEXTS = Path(__file__).parent / "texts"
_PEOPLE = 10_000
_DELIVERIES = 200
_ROUNDS = 40
_LOADS = 3
_YARDSTICKS = 10
_AT = datetime(2026, 11, 20, 8, 15, 30, tzinfo=UTC)


def measure() -> Renders:
    """Measure in this process; takes two seconds."""
    texts_load_ms = min(_cpu_of(lambda: load_texts(BUILT_IN)) for _ in range(_LOADS)) * 1e3
    return Renders(
        email_us=_of(EmailChannel("smtp://127.0.0.1:25", "Kabar <kabar@bench.test>"), "{person}@bench.test"),
        slack_us=_of(SlackChannel(), "https://hooks.slack.com/services/T0BENCH/B0BENCH/{person}"),
        telegram_us=_of(TelegramChannel("1:bench"), "4711"),
        yardstick_us=_yardstick(),
        texts_load_ms=texts_load_ms,
    )


def best(one: Renders, other: Renders) -> Renders:
    """Take the better of each figure: a whole measurement can fall into a slow minute of the machine."""
    return Renders(*map(min, astuple(one), astuple(other)))


def _of(channel: Channel[Any], address: str) -> float:
    """Microseconds of one delivery: from what the lease gave to the channel's own message. No two are the same."""
    catalogue = Catalogue([BenchPaid])
    editions = Editions.of_files(read_sources(_TEXTS))
    numbers = iter(range(_ROUNDS * _DELIVERIES))
    rounds = [
        [_leased(number, channel.name, address) for number in islice(numbers, _DELIVERIES)] for _ in range(_ROUNDS)
    ]
    first = render(rounds[0][0], catalogue, editions, channel).message
    if isinstance(first, Refused | Deferred):
        raise RunFailed(f"the job's own text is not rendered for {channel.name}: {first}")

    def every(deliveries: Sequence[Leased]) -> None:
        for leased in deliveries:
            render(leased, catalogue, editions, channel)

    keep_what_stands()  # as a worker does before its first
    return min(_cpu_of(lambda: every(deliveries)) for deliveries in rounds) / _DELIVERIES * 1e6  # noqa: B023


def _yardstick() -> float:
    """Microseconds in which the standard library prints one such mail."""
    channel = EmailChannel("smtp://127.0.0.1:25", "Kabar <kabar@bench.test>")
    leased = _leased(0, channel.name, "{person}@bench.test")
    mail = render(leased, Catalogue([BenchPaid]), Editions.of_files(read_sources(_TEXTS)), channel).message
    assert isinstance(mail, Mail)
    printed = message_from_bytes(mail.data, policy=policy.SMTP)
    text, html = (part.get_content() for part in printed.iter_parts())

    def once() -> None:
        message = EmailMessage(policy=policy.SMTP)
        for name in ("From", "To", "Subject", "Date", "Message-ID"):
            message[name] = printed[name]
        message.set_content(text)
        message.add_alternative(html, subtype="html")
        message.as_bytes()

    def many() -> None:
        for _ in range(_YARDSTICKS):
            once()

    return min(_cpu_of(many) for _ in range(_ROUNDS)) / _YARDSTICKS * 1e6


def _cpu_of(work: Callable[[], object]) -> float:
    gc.collect()
    begin = process_time()
    work()
    return process_time() - begin


def _leased(number: int, channel: str, address: str) -> Leased:
    data = orjson.loads(body(number, _PEOPLE))["data"]
    data["paid_at"] = (_AT + timedelta(seconds=number)).isoformat()
    person = person_id(number)
    return Leased(
        UUID(int=number),
        1,
        UUID(int=number),
        person,
        channel,
        address.format(person=person),
        Lane.NORMAL,
        1,
        8,
        UnsurePolicy.RESEND,
        _AT,
        "user",
        f"{number:07}",
        "bench/payments",
        BenchPaid.info.type,
        _AT,
        orjson.dumps(data).decode(),
        None,
        f"Ayu {person}",
        "en",
        "Asia/Jakarta",
        None,
    )
