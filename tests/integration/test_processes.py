"""Many processes share the work; those that drain, die or are killed lose nothing and double nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aio_pika
import asyncpg
import pytest
from pydantic import SecretStr

from schemas.events.billing import PaymentFailed
from schemas.events.directory import PersonChanged
from schemas.events.system import SystemError as SystemFailed
from schemas.producer import Producer
from tests.acceptance.world import PATIENCE_SECONDS, a_simulator, a_world, settings_for
from tests.processes import worker
from tests.proxy import proxy
from worker.metrics import REGISTRY

MAIL = {"email": ["ani@example.com"]}


def failed(number: int) -> PaymentFailed:
    return PaymentFailed(user_id="ani", payment_id=f"p{number}", amount="1", currency="USD", reason="expired")


async def count(ledger: asyncpg.Connection[asyncpg.Record], query: str) -> int:
    return int(await ledger.fetchval(query))


async def until(ledger: asyncpg.Connection[asyncpg.Record], query: str, wanted: int, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while await count(ledger, query) < wanted:
            await asyncio.sleep(0.05)


async def test_processes_share_the_work_and_drain_without_loss(database_url: str, rabbitmq_url: str) -> None:
    """Two intakes, three couriers and a timer, two of them drained under load: every mail goes out exactly once."""
    events = 400
    async with a_simulator() as simulator, AsyncExitStack() as processes:
        settings = settings_for(simulator, database_url, rabbitmq_url, channels=("inbox", "email"), email_concurrency=4)
        ledger = await processes.enter_async_context(_connected(database_url))
        roles = ["intake", "intake", "timer", *["courier"] * 3]
        running = await asyncio.gather(*(processes.enter_async_context(worker(settings, role)) for role in roles))
        async with Producer(rabbitmq_url, source="shop") as producer:
            await producer.publish(PersonChanged(person_id="ani", addresses=MAIL))
            await until(ledger, "SELECT count(*) FROM people", 1)
            publishing = asyncio.gather(*(producer.publish(failed(number)) for number in range(events)))
            await simulator.wait_for(events // 8, PATIENCE_SECONDS, "email")
            for one in (running[0], running[3]):
                one.terminate()
            await publishing
        await until(ledger, "SELECT count(*) FROM deliveries WHERE channel = 'email' AND state = 'sent'", events)

        assert [one.process.returncode for one in (running[0], running[3])] == [0, 0]
        assert len(simulator.arrived("email")) == events
        assert await count(ledger, "SELECT max(attempt) FROM deliveries WHERE channel = 'email'") == 1
        assert await count(ledger, "SELECT count(*) FROM attempts WHERE outcome <> 'released'") == 0
        assert await count(ledger, "SELECT count(*) FROM events") == events + 1


async def test_a_drain_while_the_database_hangs_ends_in_time_and_gives_everything_back(
    database_url: str, rabbitmq_url: str
) -> None:
    """A worker whose database says nothing any more ends within 25 s; others send its work once, as a first attempt."""
    events = 40
    async with a_simulator() as simulator, AsyncExitStack() as stack:
        settings = settings_for(simulator, database_url, rabbitmq_url, channels=("email",))
        ledger = await stack.enter_async_context(_connected(database_url))
        wire = await stack.enter_async_context(proxy(database_url))
        producer = await stack.enter_async_context(Producer(rabbitmq_url, source="shop"))
        await stack.enter_async_context(worker(settings, "intake"))
        await producer.publish(PersonChanged(person_id="ani", addresses=MAIL))
        await until(ledger, "SELECT count(*) FROM people", 1)
        hung = settings.model_copy(update={"database_url": SecretStr(wire.url)})
        async with worker(hung, "intake", "courier") as draining:
            wire.fall_silent()
            await asyncio.gather(*(producer.publish(failed(number)) for number in range(events)))
            await until(ledger, "SELECT count(*) FROM deliveries WHERE state = 'queued'", 1)
            began = asyncio.get_running_loop().time()
            draining.terminate()
            await asyncio.wait_for(draining.process.wait(), 30)
            took = asyncio.get_running_loop().time() - began
        await wire.cut()
        assert simulator.arrived("email") == []
        await stack.enter_async_context(worker(settings, "courier", "timer"))
        await until(ledger, "SELECT count(*) FROM deliveries WHERE state = 'sent'", events)

        assert took <= 25
        assert len(simulator.arrived("email")) == events
        assert await count(ledger, "SELECT max(attempt) FROM deliveries") == 1
        assert await count(ledger, "SELECT count(*) FROM attempts") == 0
        assert await count(ledger, "SELECT count(*) FROM dead_letters") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's memory by /proc")
async def test_a_burst_for_a_crowded_role_takes_little_memory(database_url: str, rabbitmq_url: str) -> None:
    """256 events for a thousand admins each are a quarter of a million messages, and never in memory together."""
    async with a_simulator() as simulator, AsyncExitStack() as stack:
        settings = settings_for(simulator, database_url, rabbitmq_url, channels=("inbox",))
        ledger = await stack.enter_async_context(_connected(database_url))
        await ledger.execute(
            "INSERT INTO people (id, name, roles, changed_at)"
            " SELECT 'a' || n, 'Admin ' || n, ARRAY['admin'], now() FROM generate_series(1, 1000) n"
        )
        async with worker(settings, "intake"):
            pass  # the queues are there now
        async with Producer(rabbitmq_url, source="shop") as producer:
            error = SystemFailed(service="shop", error="no space left", severity="critical")
            await producer.publish_many([producer.encode(error) for _ in range(256)], timeout_seconds=60)

        async with worker(settings, "intake") as intake:
            await until(ledger, "SELECT count(*) FROM events", 256)
            await until(ledger, "SELECT count(*) FROM notifications", 10_000)
            peak = _peak_mib(intake.process.pid)
            intake.kill()

        assert peak <= 300


async def test_the_same_ids_on_two_intakes_at_once_notify_once(database_url: str, rabbitmq_url: str) -> None:
    """Fifty ids, each published four times over while two intakes compete: fifty notifications."""
    async with a_world(database_url, rabbitmq_url) as world, worker(world.settings, "intake"):
        await world.know("ani")

        await asyncio.gather(*(world.tell(failed(n % 50), id=f"id{n % 50}") for n in range(200)))

        await world.until("SELECT 1 FROM deliveries WHERE channel = 'email' AND state = 'sent'", count=50)
        (total,) = await world.rows(
            "SELECT count(*) AS events, sum(repeats + 1) AS arrivals FROM events WHERE type = 'payment.failed'"
        )
        assert total["events"] == 50
        assert len(world.simulator.arrived("email")) == 50
        assert (await world.rows("SELECT count(*) FROM notifications"))[0][0] == 50


async def test_an_event_that_kills_workers_dies_alone(database_url: str, rabbitmq_url: str) -> None:
    """It is a dead letter after at most nine crashes; the events around it are all taken in."""
    innocents, crashes = 40, 0
    async with a_simulator() as simulator, AsyncExitStack() as stack:
        settings = settings_for(
            simulator, database_url, rabbitmq_url,
            channels=("inbox",), event_modules=("tests.integration.deadly_events",),
        )  # fmt: skip
        ledger = await stack.enter_async_context(_connected(database_url))
        async with worker(settings, "timer"), Producer(rabbitmq_url, source="shop") as producer:
            for number in range(innocents):
                await producer.publish(failed(number))
                if number == innocents // 2:
                    await _publish_plain(rabbitmq_url, "test.deadly", "killer", {"user_id": "ani"})
            async with asyncio.timeout(120):
                while not await count(ledger, "SELECT count(*) FROM dead_letters"):
                    async with worker(settings, "intake") as intake:
                        ended = asyncio.create_task(intake.process.wait())
                        buried = asyncio.create_task(until(ledger, "SELECT count(*) FROM dead_letters", 1))
                        await asyncio.wait([ended, buried], return_when=asyncio.FIRST_COMPLETED)
                        crashes += intake.process.returncode == 9
                        buried.cancel()
            async with worker(settings, "intake"):
                await until(ledger, "SELECT count(*) FROM events", innocents)

        letter = await ledger.fetchrow("SELECT * FROM dead_letters")
        assert letter is not None
        assert (letter["event_id"], letter["reason"]) == ("killer", "killed_workers")
        assert 1 <= crashes <= 9
        assert await count(ledger, "SELECT count(*) FROM dead_letters") == 1


async def test_a_defect_over_one_event_harms_no_neighbour(database_url: str, rabbitmq_url: str) -> None:
    """An event whose handling raises is a dead letter at once, with the class and place of the error, no more."""
    modules = ("tests.integration.deadly_events",)
    async with a_world(database_url, rabbitmq_url, event_modules=modules) as world:
        await world.know("ani")
        before = _metric("kabar_defects_total", stage="intake")

        await world.publish_raw(b'{"user_id": "ani"}', "test.explosive", message_id="bomb")
        (event_id,) = await world.tell(failed(1))

        letter = await world.dead_letter("bomb")
        assert (letter["reason"], letter["field"]) == ("worker_error", "ZeroDivisionError")
        assert bytes(letter["body"]) == b'{"user_id": "ani"}'
        assert "private" not in json.dumps([str(value) for value in letter.values()])
        assert (await world.states(event_id))["ani", "email"] == ("sent", "")
        assert _metric("kabar_defects_total", stage="intake") > before


async def test_what_is_killed_in_mid_sending_is_sent_again_and_said(database_url: str, rabbitmq_url: str) -> None:
    """A courier killed while a server keeps it waiting leaves a lease that runs out, is told as unsure, is resolved."""
    async with a_world(database_url, rabbitmq_url, roles=("intake", "timer")) as world:
        await world.know("ani", addresses={"email": ["silent@example.com"]})
        async with worker(world.settings, "courier") as courier:
            (event_id,) = await world.tell(failed(1))
            await world.simulator.wait_for(1, PATIENCE_SECONDS, "email")
            await world.until("SELECT 1 FROM deliveries WHERE channel = 'inbox' AND state = 'sent'")
            courier.kill()
        await world.rows("UPDATE deliveries SET due_at = now() WHERE state = 'leased'")

        (attempt,) = await world.until("SELECT * FROM attempts")
        assert (attempt["outcome"], attempt["reason"]) == ("unsure", "lease_ran_out")
        await world.until("SELECT 1 FROM deliveries WHERE channel = 'email' AND state = 'queued' AND resends = 1")
        assert _metric("kabar_resends_total", channel="email") >= 1
        assert event_id


def _peak_mib(pid: int) -> int:
    """The most resident memory a process ever had."""
    (line,) = (one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


def _metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def _publish_plain(url: str, routing_key: str, message_id: str, data: dict[str, str]) -> None:
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        exchange = await channel.get_exchange("kabar.events")
        await exchange.publish(aio_pika.Message(json.dumps(data).encode(), message_id=message_id), routing_key)


async def test_a_worker_whose_database_has_no_schema_says_what_to_do(
    empty_database_url: str, rabbitmq_url: str
) -> None:
    """It ends with one line that names the command, and no traceback."""
    async with a_simulator() as simulator:
        settings = settings_for(simulator, empty_database_url, rabbitmq_url, channels=("inbox",))
        async with worker(settings) as started:
            code = await asyncio.wait_for(started.process.wait(), 30)

    told = [str(line["event"]) for line in started.lines if "timestamp" not in line]
    assert code == 2
    assert told == ["kabar: the database lacks this version's schema: run `kabar migrate`\n"]


async def test_a_refused_login_stops_the_start_and_names_the_setting(database_url: str, rabbitmq_url: str) -> None:
    """A wrong broker password is a wrong setting: the process ends and says which."""
    user, _, rest = rabbitmq_url.partition("://")[2].partition(":")
    wrong = f"amqp://{user}:wrong@{rest.partition('@')[2]}"
    async with a_simulator() as simulator:
        settings = settings_for(simulator, database_url, wrong, channels=("inbox",))

        async with worker(settings) as started:
            assert await started.process.wait() == 2

        assert "KABAR_AMQP_URL" in str(started.lines[-1]["event"])
        assert "wrong" not in str(started.lines)
