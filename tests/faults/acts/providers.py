"""What providers do to us: they fail, limit, fall silent, take a message and cut the line, refuse, are away."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from time import monotonic
from typing import NamedTuple

import asyncpg

from tests.faults.acts.broker import make_impatient
from tests.faults.books import p99_ms
from tests.faults.fakes import ACCEPT, CHANNELS, Treatment
from tests.faults.producer import event_id
from tests.faults.rounds import Round
from tests.faults.scene import Scene
from tests.processes import WorkerProcess
from worker.dev.rabbitmq import RabbitMQ

_MESSAGES = 3
"""Fewer in a row than would tell of trouble with the account as a whole."""
_RETRY_AFTER_SECONDS = 3
_REST_SECONDS = 90
_PER_SECOND = 50
_SLOWER = 1.1
_NOISE_MS = 100
"""The slowest four of some 400 messages are what a p99 of eight seconds is, and those are the machine's own."""
_FASTER = 1.2
_RATE_SECONDS = 5
LIMITED = "provider limits"
SILENT = "provider silent"
_FEW_PER_SECOND = 10
_OUTLASTED_WITHIN_SECONDS = 240
_DELIVERY_LIMIT = 20
_FIRST_TRIES = """
SELECT DISTINCT ON (d.id) d.channel, d.state, d.attempt, a.outcome, a.reason, s.suppressed_reason IS NOT NULL AS is_off
FROM deliveries d JOIN events e ON e.key = d.event_key
JOIN attempts a ON a.delivery_id = d.id AND a.outcome <> 'released'
LEFT JOIN addresses s ON s.person_id = d.person_id AND s.channel = d.channel AND s.address = d.address
WHERE e.id = ANY($1) ORDER BY d.id, a.at
"""


class Taken(NamedTuple):
    """What a provider's behaviour was taken for.

    `costs`: the attempts that it cost. `state`: where the delivery ends once the provider behaves again. `is_off`:
    the address is not used any more.
    """

    outcome: str
    reason: str
    costs: int
    state: str
    is_off: bool


LATER = Taken("deferred", "provider_error", costs=1, state="sent", is_off=False)
RESENT = Taken("unsure", "no_answer", costs=1, state="sent", is_off=False)
HELD = RESENT._replace(state="unsure")
GONE = Taken("refused", "address_unknown", costs=1, state="refused", is_off=True)


class Case(NamedTuple):
    """One kind of trouble on one channel, and what it must be taken for."""

    treatment: Treatment
    taken: Taken


TROUBLES: Mapping[str, Mapping[str, Case]] = {
    "provider fails": {
        "email": Case(Treatment("answer", 451, "4.3.0 later"), LATER._replace(reason="provider_deferred")),
        "telegram": Case(Treatment("answer", 500, "Internal"), LATER),
        "slack": Case(Treatment("answer", 500, "oops"), LATER),
    },
    LIMITED: {
        channel: Case(
            Treatment("answer", 429, "Too Many Requests", retry_after=_RETRY_AFTER_SECONDS, times=_MESSAGES),
            LATER._replace(reason="rate_limited", costs=0),
        )
        for channel in ("telegram", "slack")
    },
    "taken, line cut": {
        "email": Case(Treatment("accept_and_cut"), RESENT),
        "telegram": Case(Treatment("accept_and_cut"), HELD),
        "slack": Case(Treatment("accept_and_cut"), HELD),
    },
    "refused for good": {
        "email": Case(Treatment("answer", 550, "5.1.1 no such user"), GONE),
        "telegram": Case(Treatment("answer", 403, "Forbidden: bot was blocked"), GONE._replace(reason="blocked")),
        "slack": Case(Treatment("answer", 404, "no_service"), GONE),
    },
    SILENT: {
        "email": Case(Treatment("hang"), RESENT),
        "telegram": Case(Treatment("hang"), HELD),
        "slack": Case(Treatment("hang"), HELD),
    },
}  # fmt: skip


async def misbehave(stage: Scene, trouble: str) -> Round:
    """Let every provider make one kind of trouble over a few messages, then behave again."""
    cases = TROUBLES[trouble]
    await _let_all_be_well(stage)
    for channel, case in cases.items():
        await stage.fakes.treat(channel, case.treatment)
    numbers = await stage.publish(_MESSAGES)
    ids = [event_id(number) for number in numbers]
    await stage.until(_FIRST_TRIES, ids, count=_MESSAGES * len(cases), within=_REST_SECONDS)
    for channel in CHANNELS:
        await stage.fakes.treat(channel, ACCEPT)
    if trouble != LIMITED:
        await stage.hurry()
    recovered = await stage.quiet(within=_REST_SECONDS)
    amiss = [
        f"{row['channel']} was taken for {found}"
        for row in await stage.ask(_FIRST_TRIES, ids)
        if (found := _taken(row)) != cases[row["channel"]].taken
    ]
    # As if each of them had given the address again: who comes later in the scene is to be reached.
    await stage.ask("UPDATE addresses SET suppressed_reason = NULL, suppressed_at = NULL")
    doubles = sum(case.treatment.do == "accept_and_cut" and case.taken.state == "sent" for case in cases.values())
    return Round(
        trouble,
        await stage.tally(numbers),
        recovered,
        doubles=doubles * _MESSAGES,
        amiss=(*amiss[:3], *_untimely(stage, numbers)[:3]),
    )


async def _let_all_be_well(stage: Scene) -> None:
    """Let every worker hear a good word of every provider: a run of failures over two rounds is trouble of its own."""
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await asyncio.sleep(1)
    await stage.quiet(within=_REST_SECONDS)
    assert (await stage.tally(numbers)).broken() == []


def _taken(row: asyncpg.Record) -> Taken:
    costs = row["attempt"] - (row["state"] == "sent")
    return Taken(row["outcome"], row["reason"], costs, row["state"], row["is_off"])


def _untimely(stage: Scene, numbers: Collection[int]) -> list[str]:
    """Name what came sooner than `Retry-After` said, or more than a second later."""
    first: dict[tuple[str, int], float] = {}
    wrong = []
    for one in stage.fakes.entries():
        if one.number is None or one.number not in numbers:
            continue
        if one.code == 429:
            first.setdefault((one.channel, one.number), one.at)
        elif (one.channel, one.number) in first:
            waited = one.at - first[one.channel, one.number]
            if not 0 <= waited - _RETRY_AFTER_SECONDS <= 1:
                wrong.append(f"{one.channel} was tried again after {waited:.2f} s, not {_RETRY_AFTER_SECONDS}")
    return wrong


async def fall_silent_alone(stage: Scene, *, seconds: float = 8.0) -> Round:
    """Let one provider of three take messages and never answer: the other channels are as fast as before."""
    others = ("email", "telegram")
    async with stage.load(per_second=_PER_SECOND) as peaceful:
        await asyncio.sleep(seconds)
    await stage.quiet(within=_REST_SECONDS)
    await stage.fakes.treat("slack", Treatment("hang"))
    async with stage.load(per_second=_PER_SECOND) as troubled:
        await asyncio.sleep(seconds)
    await stage.until_accepted(len(troubled) * len(others), since=stage.producer.confirmed[troubled[0]])
    await stage.fakes.treat("slack", ACCEPT)
    await stage.hurry()
    recovered = await stage.quiet(within=_REST_SECONDS)
    amiss = []
    for channel in others:
        before, during = (_p99(stage, numbers, channel) for numbers in (peaceful, troubled))
        if during > _SLOWER * before + _NOISE_MS:
            amiss.append(f"{channel}'s p99 was {before:.0f} ms and {during:.0f} ms while slack was silent")
    books = await stage.tally([*peaceful, *troubled])
    return Round("one provider silent", books, recovered, amiss=tuple(amiss))


def _p99(stage: Scene, numbers: Iterable[int], channel: str) -> float:
    published = {number: stage.producer.confirmed[number] for number in numbers}
    return p99_ms(published, stage.fakes.entries(), channel)


async def go_away(stage: Scene, *, waiting: int, seconds: float = 10.0) -> Round:
    """Let Slack be out of service while thousands wait for it, then come back: nobody's attempts were spent on that."""
    await stage.fakes.treat("slack", Treatment("answer", 503, "service_unavailable"))
    numbers = await stage.publish(waiting)
    await stage.until("SELECT 1 FROM deliveries WHERE channel = 'email' AND state = 'sent'", count=waiting, within=180)
    await asyncio.sleep(seconds)
    await stage.fakes.treat("slack", ACCEPT)
    back = monotonic()
    await stage.quiet(within=_REST_SECONDS + waiting / 20)
    recovered = monotonic() - back
    books = await stage.tally(numbers)
    amiss = _too_fast(stage, back)
    if books.dead or books.unsure:
        amiss.append(f"{books.dead} dead and {books.unsure} unsure of an outage")
    if books.attempts > 1:
        amiss.append(f"the outage cost a delivery {books.attempts - 1} attempts")
    return Round("provider away", books, recovered, amiss=tuple(amiss))


async def outlast_consumers(stage: Scene, node: RabbitMQ, *, waiting: int) -> Round:
    """Let Slack be out of service until the broker has taken the same jobs back from couriers more than 20 times.

    RabbitMQ does so to whoever holds a message for half an hour without a word, here for three seconds: until 4.2 it
    closes the channel, since then it cancels the consumer. At the 21st time it gives a job up. The scene must have no
    worker yet; the other channels deliver meanwhile.
    """
    await make_impatient(node)
    started = await stage.start(2)
    await stage.fakes.treat("slack", Treatment("answer", 503, "service_unavailable"))
    numbers = [*await stage.publish(waiting)]
    async with stage.load(per_second=_FEW_PER_SECOND) as more, asyncio.timeout(_OUTLASTED_WITHIN_SECONDS):
        while min(_times_taken_back(one) for one in started) <= _DELIVERY_LIMIT:
            await asyncio.sleep(1)
    numbers += more
    await stage.until_accepted(2 * len(numbers))
    await stage.fakes.treat("slack", ACCEPT)
    recovered = await stage.quiet(within=_REST_SECONDS)
    books = await stage.tally(numbers)
    amiss = []
    if books.dead or books.unsure or books.attempts > 1:
        amiss.append(f"{books.dead} dead, {books.unsure} unsure, {books.attempts} attempts at one of them")
    if letters := await stage.ask("SELECT kind, reason FROM dead_letters"):
        amiss.append(f"{len(letters)} dead letters: {letters[0]}")
    taken_back = sum(map(_times_taken_back, started))
    return Round(f"provider away, {taken_back} times taken back", books, recovered, amiss=tuple(amiss))


def _times_taken_back(one: WorkerProcess) -> int:
    return sum(line["event"] == "broker.lost" for line in one.lines)


def _too_fast(stage: Scene, since: float) -> list[str]:
    """Say where more arrived within some seconds than a fifth above the limit, if there is one.

    Within one second a busy machine's own stutter would be counted too.
    """
    limit = stage.settings.slack_per_second
    moments = [one.at for one in stage.fakes.entries() if one.channel == "slack" and one.accepted and one.at >= since]
    most = max(bisect_left(moments, at + _RATE_SECONDS) - index for index, at in enumerate(moments)) / _RATE_SECONDS
    return [f"{most:.0f} messages a second, where the limit is {limit:g}"] if 0 < _FASTER * limit < most else []
