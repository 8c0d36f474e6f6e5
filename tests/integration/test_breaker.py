"""Workers that share a provider's account: its limit, its rest, its return. Real processes, Telegram on the wire."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import Any

import aiohttp

from schemas.events.billing import PaymentFailed
from schemas.events.directory import PersonChanged
from tests.acceptance.world import World, a_world
from tests.integration.bot_server import BotServer, Reply, busiest
from tests.processes import WorkerProcess, worker

LIMIT = 20
CHATS = range(1000, 1060)
SENT = "SELECT * FROM deliveries WHERE channel = 'telegram' AND state = 'sent'"


def failed(chat: int, number: int = 0) -> PaymentFailed:
    return PaymentFailed(
        user_id=f"p{chat}", payment_id=f"p{chat}.{number}", amount="1", currency="USD", reason="expired"
    )


@asynccontextmanager
async def a_bot(
    database_url: str, rabbitmq_url: str, bot: BotServer, couriers: int = 2, **settings: Any
) -> AsyncIterator[tuple[World, list[WorkerProcess]]]:
    """A world with everybody in it and so many couriers, each in its own process."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(bot.running())
        given: dict[str, Any] = {
            "channels": ("telegram",), "telegram_api_url": bot.url, "telegram_per_second": 0, "log_level": "debug",
        }  # fmt: skip
        world = await stack.enter_async_context(
            a_world(database_url, rabbitmq_url, roles=("intake", "timer"), **(given | settings))
        )
        await world.tell(*(PersonChanged(person_id=f"p{chat}", addresses={"telegram": [str(chat)]}) for chat in CHATS))
        await world.until("SELECT 1 FROM people", count=len(CHATS))
        workers = await asyncio.gather(
            *(stack.enter_async_context(worker(world.settings, "courier")) for _ in range(couriers))
        )
        yield world, list(workers)


async def state(world: World) -> str:
    ((found,),) = await world.rows("SELECT state FROM accounts WHERE name = 'telegram'")
    return str(found)


async def until_heard(courier: WorkerProcess) -> None:
    """Wait until a courier says that the account rests."""
    async with asyncio.timeout(10):
        while not any(line["event"] == "account.opened" or line.get("state") == "open" for line in courier.lines):
            await asyncio.sleep(0.02)


async def breaker_state(courier: WorkerProcess) -> float:
    """Read the breaker as the courier's metrics show it."""
    (port,) = [line["http_port"] for line in courier.lines if line["event"] == "process.ready"]
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        found = re.search(r'^kabar_breaker_state{account="telegram"} (\S+)$', await answer.text(), re.MULTILINE)
    assert found
    return float(found[1])


async def until_state(world: World, wanted: str) -> None:
    await world.until("SELECT 1 FROM accounts WHERE name = 'telegram' AND state = $1", wanted)


async def test_a_limit_holds_over_all_workers_and_is_used_to_the_full(database_url: str, rabbitmq_url: str) -> None:
    """Three couriers with much to send: in no second more than the limit, in no long time much less."""
    bot = BotServer()
    async with a_bot(database_url, rabbitmq_url, bot, couriers=3, telegram_per_second=LIMIT) as (world, _):
        await world.tell(*(failed(chat, number) for number in range(2) for chat in CHATS))
        await bot.until(2 * len(CHATS))

    moments = [call.at for call in bot.calls]
    assert busiest(moments) <= LIMIT * 1.1 + 1
    assert len(moments) / (moments[-1] - moments[0]) > LIMIT * 0.85


async def test_an_outage_opens_it_for_all_spends_nothing_and_ends_by_one_probe(
    database_url: str, rabbitmq_url: str
) -> None:
    """Both couriers stop, one delivery at a time tries whether the provider is back, then all go out, each once.

    What has waited comes back little by little: no burst brings the provider down again.
    """
    bot = BotServer(lambda _: Reply(503, delay=0.05))
    async with a_bot(database_url, rabbitmq_url, bot, telegram_per_second=LIMIT) as (world, _):
        await world.tell(*map(failed, CHATS))
        await until_state(world, "open")
        seen = len(bot.calls)
        await bot.until(seen + 3)
        probes = bot.calls[seen:]

        bot.answer = lambda _: Reply()
        await bot.until(len(CHATS), taken=True, seconds=90)
        rows = await world.until(SENT, count=len(CHATS))

        assert len(bot.taken()) == len(rows) == len(CHATS)
        assert {call.beside for call in probes if call.at > probes[0].at + 0.5} <= {0}
        assert {(row["attempt"], row["provider"]) for row in rows} == {(1, bot.url.partition("//")[2])}
        assert await world.rows("SELECT 1 FROM dead_letters") == []
        assert await state(world) in ("ramping", "closed")
        moments = [call.at for call in bot.taken()]
        assert sum(at < moments[0] + 1 for at in moments) < LIMIT / 3
        assert busiest(moments) <= LIMIT * 1.2


async def test_an_account_that_asks_for_rest_gets_it_from_every_worker_to_the_second(
    database_url: str, rabbitmq_url: str
) -> None:
    """Nothing is sent meanwhile but what was under way, and it is no failure: the next rest is not longer for it."""
    bot = BotServer(lambda _: Reply(503, retry_after=4))
    async with a_bot(database_url, rabbitmq_url, bot) as (world, couriers):
        await world.tell(failed(CHATS[0]))
        await bot.until(1)
        asked_at = bot.calls[0].at
        bot.answer = lambda _: Reply()
        await asyncio.gather(*map(until_heard, couriers))
        states = await asyncio.gather(*map(breaker_state, couriers))
        heard_after = time.monotonic() - asked_at
        await world.tell(*map(failed, CHATS[1:20]))

        await world.until(SENT, count=20)
        ((failures,),) = await world.rows("SELECT failures FROM accounts WHERE name = 'telegram'")

    assert heard_after < 1.0
    assert states == [1.0, 1.0]
    assert 4.0 <= bot.calls[1].at - asked_at <= 5.0
    assert failures == 0


async def test_two_workers_together_write_to_a_chat_once_a_second(database_url: str, rabbitmq_url: str) -> None:
    """With messages for many chats between them, which wait for nobody."""
    bot = BotServer()
    async with a_bot(database_url, rabbitmq_url, bot) as (world, _):
        await world.tell(*(failed(CHATS[0], number) for number in range(5)), *map(failed, CHATS[1:]))

        rows = await world.until(SENT, count=4 + len(CHATS))

    crowded = [call.at for call in bot.calls if call.chat == CHATS[0]]
    gaps = [late - early for early, late in pairwise(crowded)]
    assert len(crowded) == 5
    assert min(gaps) > 0.9
    assert crowded[-1] - crowded[0] < 8
    assert {row["attempt"] for row in rows} == {1}
