"""The floor: what the unavoidable calls of the measured job cost with these libraries, and nothing around them.

One consume and acknowledgement an event; one bulk insert and two bulk updates, one render, and one POST or one
`sendmail` of finished bytes a delivery. Runs as a process of its own beside the same services, prepares everything
first, and counts only the CPU of the calls. Uses nothing of the worker's.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from time import process_time
from typing import TypeVar
from uuid import UUID, uuid5

import aio_pika
import aiohttp
import aiosmtplib
import asyncpg
import minijinja
import uvloop
from aio_pika.abc import AbstractIncomingMessage

from tests.bench.errors import RunFailed
from tests.bench.producer import body
from tests.bench.sinks import ROOT

T = TypeVar("T")

_TIMEOUT_SECONDS = 300
_QUEUE = "kabar.bench.floor"
_PEOPLE = 10_000
_INSERT_BATCH = 200
_UPDATE_BATCH = 64
_PREFETCH = 500
_POSTS_AT_ONCE = 32
_SMTP_CONNECTIONS = 10
_SPACE = UUID("6b616261-7200-5000-8000-00000000be9c")
_EXPIRES_AT = datetime(2099, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Floor:
    """CPU seconds per 1000 deliveries of each unavoidable call; half of the deliveries are mails, half are posts."""

    consume: float
    insert: float
    update: float
    render: float
    mail: float
    post: float

    @property
    def total(self) -> float:
        """The floor itself: CPU seconds per 1000 deliveries."""
        return self.consume + self.insert + self.update + self.render + self.mail + self.post


def mean(one: Floor, other: Floor) -> Floor:
    """Answer what lies between two floors."""
    return Floor(**{name: (value + getattr(other, name)) / 2 for name, value in asdict(one).items()})


async def measure(amqp_url: str, database_url: str, *, smtp_port: int, http_port: int, events: int) -> Floor:
    """Measure in a fresh process. The database must hold the ledger's schema; the sinks' books are written to."""
    arguments = {
        "amqp_url": amqp_url,
        "database_url": database_url,
        "smtp_port": smtp_port,
        "http_port": http_port,
        "events": events,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.floor"), stdin=PIPE, stdout=PIPE, cwd=ROOT, start_new_session=True
    )
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            answer, _ = await process.communicate(json.dumps(arguments).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RunFailed("the floor could not be measured; its complaint stands above")
    return Floor(**json.loads(answer))


async def _measure(amqp_url: str, database_url: str, smtp_port: int, http_port: int, events: int) -> Floor:
    insert, update = await _ledger(database_url, events)
    per_1000 = 1000 / (2 * events)
    return Floor(
        consume=await _consume(amqp_url, events) * per_1000,
        insert=insert * per_1000,
        update=update * per_1000,
        render=_render(events) * per_1000,
        mail=await _mail(smtp_port, events) * per_1000,
        post=await _post(http_port, events) * per_1000,
    )


async def _consume(amqp_url: str, events: int) -> float:
    """One message at a time to a callback, one acknowledgement each, from a quorum queue of its own."""
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=_PREFETCH)
        queue = await channel.declare_queue(_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        for numbers in _batches(range(events), _PREFETCH):
            messages = [aio_pika.Message(body(number, _PEOPLE), delivery_mode=2) for number in numbers]
            await asyncio.gather(*(channel.default_exchange.publish(each, _QUEUE) for each in messages))
        left = events
        done = asyncio.Event()

        async def take(message: AbstractIncomingMessage) -> None:
            nonlocal left
            await message.ack()
            left -= 1
            if not left:
                done.set()

        begin = process_time()
        consumer = await queue.consume(take)
        await done.wait()
        spent = process_time() - begin
        await queue.cancel(consumer)
        await queue.delete(if_unused=False, if_empty=False)
    return spent


async def _ledger(database_url: str, events: int) -> tuple[float, float]:
    """Insert and twice update the rows of all events in copies of the ledger's tables: (inserts, updates)."""
    settings = {"search_path": "bench_floor", "enable_seqscan": "off", "jit": "off"}
    connection = await asyncpg.connect(database_url, server_settings=settings)
    try:
        await connection.execute(_TABLES)
        insert, lease, settle = [await connection.prepare(each) for each in (_INSERT, _LEASE, _SETTLE)]
        rows = [_rows(numbers) for numbers in _batches(range(events), _INSERT_BATCH)]
        ids = [
            list(each) for each in _batches([id_ for columns in rows for id_ in columns[_DELIVERY_IDS]], _UPDATE_BATCH)
        ]
        begin = process_time()
        for columns in rows:
            await insert.fetch(*columns)
        inserted = process_time()
        for token, batch in enumerate(ids):
            await lease.fetch(batch, token)
            await settle.fetch(batch, [token] * len(batch))
        settled = process_time()
        if await connection.fetchval("SELECT count(*) FROM deliveries WHERE state = 'sent'") != 2 * events:
            raise RunFailed("the floor's own statements did not settle every delivery")
        await connection.execute("DROP SCHEMA bench_floor CASCADE")
    finally:
        await connection.close()
    return inserted - begin, settled - inserted


_TABLES = """
CREATE SCHEMA bench_floor;
CREATE TABLE events (LIKE public.events INCLUDING ALL);
CREATE TABLE notifications (LIKE public.notifications INCLUDING ALL);
CREATE TABLE deliveries (LIKE public.deliveries INCLUDING ALL);
"""
_INSERT = """
WITH event AS (
    INSERT INTO events (key, source, id, type, time, version, data, extensions, reason)
    SELECT key, 'bench', id, 'bench.paid', now(), 1, data, '{}', ''
    FROM unnest($1::uuid[], $2::text[], $3::jsonb[]) AS e (key, id, data)
    ON CONFLICT (key) DO NOTHING RETURNING key
), notification AS (
    INSERT INTO notifications (id, event_key, person_id, route, category, critical, expires_at)
    SELECT id, event_key, person_id, route, 'billing', false, expires_at
    FROM unnest($4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::timestamptz[])
         AS n (id, event_key, person_id, route, expires_at)
    JOIN event ON event.key = n.event_key
)
INSERT INTO deliveries (id, notification_id, event_key, person_id, channel, address, lane, state, attempt_limit,
                        on_unsure, due_at, expires_at)
SELECT id, notification_id, event_key, person_id, channel, address, 'normal', 'queued', 8, 'resend',
       now() + interval '60 s', expires_at
FROM unnest($9::uuid[], $10::uuid[], $11::uuid[], $12::text[], $13::text[], $14::text[], $15::timestamptz[])
     AS d (id, notification_id, event_key, person_id, channel, address, expires_at)
JOIN event ON event.key = d.event_key
"""
_DELIVERY_IDS = 8  # among the insert's parameters, counted from 0
_LEASE = """
UPDATE deliveries SET state = 'leased', attempt = attempt + 1, token = $2, due_at = now() + interval '60 s'
WHERE id = ANY($1::uuid[]) AND state = 'queued' RETURNING id
"""
_SETTLE = """
UPDATE deliveries d SET state = 'sent', due_at = NULL, finished_at = now()
FROM unnest($1::uuid[], $2::bigint[]) AS v (id, token) WHERE d.id = v.id AND d.token = v.token
"""


def _rows(numbers: Sequence[int]) -> list[list[object]]:
    """Answer the parameters of one insert, one list a column: an event, a notification and two deliveries a number."""
    columns: list[list[object]] = [[] for _ in range(15)]
    for number in numbers:
        data = json.loads(body(number, _PEOPLE))["data"]
        person = data["user_id"]
        event = uuid5(_SPACE, str(number))
        notification = uuid5(event, person)
        row = [event, f"{number:07}", json.dumps(data), notification, event, person, "user", _EXPIRES_AT]
        for column, value in zip(columns, row, strict=False):
            column.append(value)
        for channel, address in (("email", f"{person}@bench.test"), ("slack", f"http://127.0.0.1/services/{person}")):
            delivery = [uuid5(notification, channel), notification, event, person, channel, address, _EXPIRES_AT]
            for column, value in zip(columns[_DELIVERY_IDS:], delivery, strict=True):
                column.append(value)
    return columns


def _render(events: int) -> float:
    """Render the job's own text once a delivery, in the engine alone."""
    path = Path(__file__).parent / "texts/bench.paid/user/en.txt"
    environment = minijinja.Environment(
        templates={"text.html": path.read_text()},
        filters={"money": lambda amount, currency: f"{currency} {amount}", "datetime": str},
    )
    person = {"name": "Ayu", "locale": "en", "zone": "Asia/Jakarta"}
    contexts = [json.loads(body(number, _PEOPLE))["data"] for number in range(events)]
    environment.render_template("text.html", person=person, **contexts[0])
    begin = process_time()
    for context in contexts:
        environment.render_template("text.html", person=person, **context)
        environment.render_template("text.html", person=person, **context)
    return process_time() - begin


async def _mail(port: int, events: int) -> float:
    """Hand over finished mails by `sendmail` on connections that stay."""
    sender = "kabar@bench.test"
    mails = _mails(events)
    async with AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False))
            for _ in range(_SMTP_CONNECTIONS)
        ]

        async def send(connection: aiosmtplib.SMTP, mine: Sequence[tuple[str, bytes]]) -> None:
            for address, mail in mine:
                await connection.sendmail(sender, [address], mail)

        shares = [mails[index::_SMTP_CONNECTIONS] for index in range(_SMTP_CONNECTIONS)]
        return await _cpu_of([send(c, s) for c, s in zip(connections, shares, strict=True)])


def _mails(events: int) -> list[tuple[str, bytes]]:
    """Answer (address, finished mail) of each event: text and HTML of the size a product's layout gives them."""
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "kabar@bench.test", "ayu@bench.test", "Payment bench-0000000"
    letter["Message-ID"] = "<bench-0000000@bench.test>"
    letter.set_content("Hi Ayu, we received your payment bench-0000000. Thank you.\n" * 5)
    letter.add_alternative(
        "<p style='margin:0 0 16px'>We received <strong>Rp 150.000</strong></p>\n" * 40, subtype="html"
    )
    finished = letter.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return [
        (f"person-{number:05}@bench.test", finished.replace(b"bench-0000000", f"bench-{number:07}".encode()))
        for number in range(events)
    ]


async def _post(port: int, events: int) -> float:
    """POST finished payloads through one session whose connections stay."""
    payloads = [
        json.dumps({"text": f"Payment bench-{number:07} " + 8 * "was received. "}).encode() for number in range(events)
    ]
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession() as session:

        async def post(mine: Sequence[bytes]) -> None:
            for payload in mine:
                url = f"http://127.0.0.1:{port}/services/T0BENCH/B0BENCH/floor"
                async with session.post(url, data=payload, headers=headers) as response:
                    response.raise_for_status()
                    await response.read()

        await post(payloads[:1])
        return await _cpu_of([post(payloads[index::_POSTS_AT_ONCE]) for index in range(_POSTS_AT_ONCE)])


async def _cpu_of(works: Sequence[Coroutine[None, None, None]]) -> float:
    begin = process_time()
    await asyncio.gather(*works)
    return process_time() - begin


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


if __name__ == "__main__":
    figures = uvloop.run(_measure(**json.loads(sys.stdin.read())))
    sys.stdout.write(json.dumps(asdict(figures)))
