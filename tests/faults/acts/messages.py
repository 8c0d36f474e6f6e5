"""What producers do wrong: messages nobody can read, one that kills its reader, and everything three times over."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

import aio_pika
from aio_pika.exceptions import ChannelPreconditionFailed

from schemas.encoding import Encoded
from schemas.errors import TooLarge
from schemas.producer import Producer
from tests.faults.producer import SOURCE, event_id
from tests.faults.rounds import Round
from tests.faults.scene import Scene
from worker.dev.rabbitmq import RabbitMQ

_PER_SECOND = 100
_OF_EACH = 5
_MOST_CRASHES = 9
_REST_SECONDS = 120
_LOOK_SECONDS = 0.05
_ENORMOUS_BYTES = 17 * 1024 * 1024
"""More than RabbitMQ takes by default since 4.0, and much less than before."""
_LOWER_LIMIT_BYTES = 200_000
_STRUCTURED = "application/cloudevents+json"


class Bad(NamedTuple):
    """One message that is to become a dead letter for this reason. `about`: properties beside its id."""

    reason: str
    body: bytes
    routing_key: str = "scene.marked"
    about: Mapping[str, Any] = {}
    message_id: str = ""


def bad_messages() -> list[Bad]:
    """Answer one of each kind."""
    data = {"user_id": "person-00001", "number": "9999999"}
    event = {"specversion": "1.0", "id": "x", "source": "scene", "type": "scene.marked", "data": data}
    good = json.dumps(data).encode()
    return [
        Bad("not_json", b'{"user_id": "ani"'),
        Bad("not_json", bytes(range(256))),
        Bad("not_json", b"[]"),
        Bad("content_type", good, about={"content_type": "text/xml"}),
        Bad("type_unknown", good, "no.such.type"),
        Bad("payload_invalid", b'{"number": "9999999"}'),
        Bad("body_too_large", json.dumps(data | {"number": "9" * 300_000}).encode()),
        Bad("body_too_large", b"x" * 2_000_000),
        Bad("headers_too_large", good, about={"headers": {"note": "h" * 9_000}}),
        Bad("headers_too_large", good, about={"headers": {"note": "h" * 100_000}}),
        Bad("nul_character", json.dumps(data | {"number": "\0"}).encode()),
        Bad("too_deep", b'{"number": ' + b"[" * 300 + b"]" * 300 + b"}"),
        Bad("version_unknown", json.dumps(event | {"schemaversion": 99}).encode(), about={"content_type": _STRUCTURED}),
    ]


async def publish_bad_messages(stage: Scene) -> Round:
    """Mix messages of every bad kind into a load of good ones: each is a dead letter that says why."""
    before = list(stage.workers)
    bad = [one._replace(message_id=str(uuid4())) for one in bad_messages() * _OF_EACH]
    wanted = {one.message_id: one.reason for one in bad}
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await _publish_raw(stage, random.sample(bad, k=len(bad)))
    recovered = await stage.quiet(within=_REST_SECONDS)
    found = await _letters(stage, list(wanted))
    amiss = [
        f"{reason}: a message has no such letter but {found.get(one)}"
        for one, reason in wanted.items()
        if found.get(one) != reason
    ]
    books = await stage.tally(numbers)
    if stage.workers != before or any(one.process.returncode is not None for one in before):
        amiss.append("a worker ended over a bad message")
    if books.attempts > 1:
        amiss.append("a neighbour was tried more than once")
    return Round("bad messages", books, recovered, amiss=tuple(amiss[:5]))


async def _publish_raw(stage: Scene, messages: Sequence[Bad]) -> None:
    async with await aio_pika.connect(stage.amqp_url.split(",")[0]) as connection:
        exchange = await (await connection.channel()).get_exchange("kabar.events")
        for one in messages:
            message = aio_pika.Message(
                one.body, message_id=one.message_id, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, **one.about
            )
            await exchange.publish(message, one.routing_key)


async def _letters(stage: Scene, wanted: Sequence[str]) -> dict[str, str]:
    """Answer why each of these messages is a dead letter, once all are, or after a while."""
    query = "SELECT properties->>'message_id' AS id, reason FROM dead_letters WHERE properties->>'message_id' = ANY($1)"
    try:
        rows = await stage.until(query, wanted, count=len(wanted), within=30)
    except TimeoutError:
        rows = await stage.ask(query, wanted)
    return {row["id"]: row["reason"] for row in rows}


async def publish_enormous(stage: Scene) -> Round:
    """Publish what is larger than any broker of today takes in the midst of good ones.

    RabbitMQ before 4.0 takes it, and it is a dead letter that says why; a later one closes its producer's channel. The
    client of ours sends nothing of the kind, and says what is wrong at once.
    """
    enormous = Bad("body_too_large", b"x" * _ENORMOUS_BYTES, message_id=str(uuid4()))
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await stage.until_accepted(_PER_SECOND)
        try:
            await _publish_raw(stage, [enormous])
            is_taken = True
        except ChannelPreconditionFailed:
            is_taken = False
        amiss = await _refused_by_our_client(stage)
    recovered = await stage.quiet(within=_REST_SECONDS)
    found = (await _letters(stage, [enormous.message_id])).get(enormous.message_id) if is_taken else None
    if is_taken and found != enormous.reason:
        amiss.append(f"it became {found}")
    books = await stage.tally(numbers)
    if books.attempts > 1:
        amiss.append("a neighbour was tried more than once")
    what = "taken and buried" if is_taken else "refused by the broker"
    return Round(f"message of 17 MiB ({what})", books, recovered, amiss=tuple(amiss))


async def lower_limit(stage: Scene, node: RabbitMQ) -> Round:
    """Let the broker take less than what is in its queue already, as an upgrade to 4.x does.

    What can never be published again is buried all the same, and holds nobody up. The scene must have no worker yet.
    """
    (feeder,) = await stage.start(1, "intake")
    await stage.end(feeder)
    large = Bad("body_too_large", b"x" * 300_000, message_id=str(uuid4()))
    await _publish_raw(stage, [large])
    numbers = await stage.publish(_PER_SECOND)
    await node.ctl("eval", f"application:set_env(rabbit, max_message_size, {_LOWER_LIMIT_BYTES}).")
    await stage.start(2)
    recovered = await stage.quiet(within=_REST_SECONDS)
    found = await _letters(stage, [large.message_id])
    amiss = () if found == {large.message_id: large.reason} else (f"the letters are {found}",)
    return Round("limit lowered over a large message", await stage.tally(numbers), recovered, amiss=amiss)


async def _refused_by_our_client(stage: Scene) -> list[str]:
    event = Encoded("enormous", "scene.marked", b"x" * _ENORMOUS_BYTES)
    async with Producer(stage.amqp_url.split(","), source=SOURCE) as producer:
        try:
            await producer.publish_many([event], timeout_seconds=_REST_SECONDS)
        except ExceptionGroup as failures:
            return [f"our client said: {one}" for one in failures.exceptions if not isinstance(one, TooLarge)]
    return ["our client published 17 MiB"]


async def publish_poison(stage: Scene, *, innocents: int, hurry: bool = False) -> Round:
    """Publish an event that kills whoever reads it, in the midst of a full prefetch, and start a worker for each dead.

    It is a dead letter after at most nine crashes, and none of its neighbours is.
    """
    letters = await _count_letters(stage)
    numbers = [*await stage.publish(innocents // 2)]
    poison = Bad("killed_workers", b'{"user_id": "person-00001"}', "test.deadly", message_id=str(uuid4()))
    await _publish_raw(stage, [poison])
    publishing = asyncio.create_task(stage.publish(innocents - innocents // 2))
    crashes = 0
    async with asyncio.timeout(_REST_SECONDS):
        while await _count_letters(stage) == letters:
            crashes += await _replace_the_dead(stage)
            await asyncio.sleep(_LOOK_SECONDS)
    numbers += await publishing
    recovered = await stage.quiet(within=_REST_SECONDS, hurry=hurry)
    crashes += await _replace_the_dead(stage)
    books = await stage.tally(numbers)
    amiss = [f"{crashes} workers died, at most {_MOST_CRASHES}"] if crashes > _MOST_CRASHES else []
    found = await _letters(stage, [poison.message_id])
    if found != {poison.message_id: poison.reason}:
        amiss.append(f"the poison's letters are {found}")
    if buried := await _count_letters(stage) - letters - 1:
        amiss.append(f"{buried} innocents were buried with it")
    return Round(f"poison ({crashes} crashes)", books, recovered, doubles=books.in_flight, amiss=tuple(amiss))


async def _replace_the_dead(stage: Scene) -> int:
    dead = [one for one in stage.workers if one.process.returncode is not None]
    for one in dead:
        stage.workers.remove(one)
    await stage.start(len(dead), may_end=True)
    return len(dead)


async def _count_letters(stage: Scene) -> int:
    (row,) = await stage.ask("SELECT count(*) AS letters FROM dead_letters WHERE kind = 'event'")
    return int(row["letters"])


async def publish_everything_thrice(stage: Scene, *, events: int) -> Round:
    """Publish every event three times, shuffled: it counts once."""
    numbers = stage.producer.take(events)
    copies = random.sample([*numbers] * 3, k=3 * events)
    await stage.producer.publish(copies)
    recovered = await stage.quiet(within=_REST_SECONDS)
    seen = "SELECT 1 FROM events WHERE source = 'scene' AND id = ANY($1) AND repeats >= 2"
    await stage.until(seen, [event_id(number) for number in numbers], count=events)
    return Round("everything thrice", await stage.tally(numbers), recovered)
