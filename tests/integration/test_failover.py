"""Two mail servers of one channel: which is asked, which sent, and what the ledger says of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from schemas.events.billing import PaymentFailed
from tests.acceptance.world import World, a_world
from tests.integration.channels.wire import Fault, SmtpServer, closed_port, running
from worker.metrics import REGISTRY


def failed(number: int = 0) -> PaymentFailed:
    return PaymentFailed(user_id="ani", payment_id=f"p{number}", amount="1", currency="USD", reason="expired")


@asynccontextmanager
async def two_servers(
    database_url: str, rabbitmq_url: str, first: SmtpServer, second: SmtpServer, **settings: Any
) -> AsyncIterator[World]:
    """A world with ani in it, whose mails go by these."""
    async with running(first), running(second):
        urls = ",".join(f"smtp://kabar:hunter,smtp@127.0.0.1:{server.port}" for server in (first, second))
        given = {"channels": ("email",), "smtp_url": urls, "on_unsure": {"email": "hold"}} | settings
        async with a_world(database_url, rabbitmq_url, **given) as world:
            await world.know("ani")
            yield world


def a_server(**steps: Any) -> SmtpServer:
    return SmtpServer(extensions=("PIPELINING", "AUTH PLAIN"), login="AGthYmFyAGh1bnRlcixzbXRw", steps=steps)


async def mail_of(world: World, *states: str) -> asyncpg.Record:
    """Wait for one mail to be in one of these states."""
    query = "SELECT * FROM deliveries WHERE channel = 'email' AND state = ANY($1)"
    return (await world.until(query, states))[-1]


async def test_the_first_of_two_sends_as_long_as_it_can(database_url: str, rabbitmq_url: str) -> None:
    """The order given is the order of preference, and no credential is part of a name."""
    first, second = a_server(), a_server()
    async with two_servers(database_url, rabbitmq_url, first, second) as world:
        await world.tell(failed())

        assert (await mail_of(world, "sent"))["provider"] == f"127.0.0.1:{first.port}"
        assert (len(first.mails), second.connections) == (1, 0)
        accounts = await world.rows("SELECT name, provider FROM accounts ORDER BY name")
        assert [tuple(row) for row in accounts] == [
            ("email", f"127.0.0.1:{first.port}"), ("email:2", f"127.0.0.1:{second.port}")
        ]  # fmt: skip


async def test_what_the_first_defers_the_second_sends_at_once(database_url: str, rabbitmq_url: str) -> None:
    """A transient refusal costs no attempt and no time; the ledger says who sent."""
    first, second = a_server(RCPT="451 4.3.0 try later"), a_server()
    before = REGISTRY.get_sample_value("kabar_failovers_total", {"channel": "email"}) or 0
    async with two_servers(database_url, rabbitmq_url, first, second) as world:
        await world.tell(failed())

        sent = await mail_of(world, "sent")
        assert (sent["attempt"], sent["provider"]) == (1, f"127.0.0.1:{second.port}")
        assert ("RCPT" in first.verbs(), first.mails, len(second.mails)) == (True, [], 1)
        assert REGISTRY.get_sample_value("kabar_failovers_total", {"channel": "email"}) == before + 1
        assert await world.rows("SELECT 1 FROM attempts") == []


async def test_while_the_first_is_out_of_order_the_second_sends_all(database_url: str, rabbitmq_url: str) -> None:
    """Its breaker is open: it is tried now and then, and nothing waits for it."""
    second = a_server()
    async with running(second):
        urls = f"smtp://127.0.0.1:{closed_port()},smtp://127.0.0.1:{second.port}"
        async with a_world(database_url, rabbitmq_url, channels=("email",), smtp_url=urls) as world:
            await world.know("ani")
            await world.tell(*map(failed, range(40)))

            rows = await world.until("SELECT * FROM deliveries WHERE channel = 'email' AND state = 'sent'", count=40)
            assert {(row["attempt"], row["provider"]) for row in rows} == {(1, f"127.0.0.1:{second.port}")}
            assert len(second.mails) == 40
            (account,) = await world.rows("SELECT * FROM accounts WHERE name = 'email'")
            assert account["state"] in ("open", "probing")
            assert account["reason"] == "provider_unreachable"


async def test_a_worker_with_other_settings_makes_them_known(database_url: str, rabbitmq_url: str) -> None:
    """Whoever replaced a server reads its name, and nothing of the one that is gone."""
    database = await asyncpg.connect(database_url)
    await database.execute(
        "INSERT INTO accounts (name, provider) VALUES ('email', 'old.test'), ('email:2', 'two.test')"
    )
    await database.close()
    async with a_world(database_url, rabbitmq_url, channels=("email",)) as world:
        await world.until("SELECT 1 FROM accounts WHERE name = 'email' AND provider LIKE '127.0.0.1:%'")

        assert len(await world.rows("SELECT 1 FROM accounts")) == 1


async def test_the_second_is_tried_though_the_first_sends(database_url: str, rabbitmq_url: str) -> None:
    """After an outage of both, the one that nobody needs any more does not count as out of order for ever."""
    first, second = a_server(), a_server(GREETING="421 4.3.2 not now")
    async with two_servers(database_url, rabbitmq_url, first, second) as world:
        await world.rows(
            "UPDATE accounts SET state = 'open', reason = 'provider_unreachable', open_until = now()"
            " WHERE name = 'email:2'"
        )
        await _until_tried(world, "failures > 0")
        second.steps.clear()
        await _until_tried(world, "state IN ('ramping', 'closed')")

        sent = await world.rows("SELECT provider, attempt FROM deliveries WHERE channel = 'email' AND state = 'sent'")
        by_second = [row["attempt"] for row in sent if row["provider"] == f"127.0.0.1:{second.port}"]
        assert by_second == [1]
        assert {row["attempt"] for row in sent} == {1}
        assert len(first.mails) == len(sent) - 1
        assert await world.rows("SELECT 1 FROM attempts") == []


async def _until_tried(world: World, wanted: str) -> None:
    """Send mails until the second's account is so."""
    query = f"SELECT 1 FROM accounts WHERE name = 'email:2' AND {wanted}"  # noqa: S608 - ours
    async with asyncio.timeout(60):
        while not await world.rows(query):
            (event_id,) = await world.tell(failed())
            assert (await world.states(event_id))["ani", "email"] == ("sent", "")


async def test_after_silence_nobody_else_is_asked(database_url: str, rabbitmq_url: str) -> None:
    """The first had the whole mail and hung up: to hand it to the second might be a double."""
    first, second = a_server(BODY=Fault.HANG_UP), a_server()
    async with two_servers(database_url, rabbitmq_url, first, second) as world:
        await world.tell(failed())

        assert (await mail_of(world, "unsure", "sent"))["state"] == "unsure"
        assert second.connections == 0


async def test_a_refusal_for_good_is_not_asked_twice(database_url: str, rabbitmq_url: str) -> None:
    """A mailbox that does not exist is at its end with any server."""
    first, second = a_server(RCPT="550 5.1.1 no such user"), a_server()
    async with two_servers(database_url, rabbitmq_url, first, second) as world:
        await world.tell(failed())

        refused = await mail_of(world, "refused", "sent")
        assert (refused["state"], refused["provider"]) == ("refused", f"127.0.0.1:{first.port}")
        assert second.connections == 0


async def test_what_both_defer_waits_and_costs_one_attempt(database_url: str, rabbitmq_url: str) -> None:
    """However many servers were asked, it was one try."""
    first, second = a_server(RCPT="450 4.2.0 greylisted"), a_server(GREETING="421 4.3.2 not now")
    async with two_servers(database_url, rabbitmq_url, first, second) as world:
        await world.tell(failed())

        waiting = await mail_of(world, "waiting", "sent")
        assert (waiting["state"], waiting["reason"], waiting["attempt"]) == ("waiting", "provider_deferred", 1)
        assert waiting["provider"] == f"127.0.0.1:{first.port}"
        assert await world.rows("SELECT 1 FROM dead_letters") == []
