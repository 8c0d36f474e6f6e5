"""Workers that share a provider's account: its limit, its rest, its return. Real processes, Telegram on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

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
    """Both couriers stop, one delivery at a time tries whether the provider is back, then all go out, each once."""
    bot = BotServer(lambda _: Reply(503, delay=0.05))
    async with a_bot(database_url, rabbitmq_url, bot) as (world, _):
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
