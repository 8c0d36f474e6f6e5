"""An address that a provider says is at its end is switched off, says why, and is on again when it is given again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from schemas.events.channel import CommentModerationRequired
from schemas.events.directory import PreferenceChanged
from schemas.events.stream import StreamDisconnected
from tests.acceptance.world import World, a_world
from tests.integration.bot_server import BotServer, Reply
from tests.integration.channels.wire import Answers, HttpServer, SmtpServer, running
from tests.integration.command_line import environment_of, kabar
from tests.processes import worker


def held(person: str) -> CommentModerationRequired:
    return CommentModerationRequired(user_id=person, comment_id="c", author="Bo", excerpt="Hi", reason="link")


@asynccontextmanager
async def bounced_mail() -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """A mail server that knows no such mailbox the first time."""
    async with running(SmtpServer(steps={"RCPT": ["550 5.1.1 no such user", "250 ok"]})) as server:
        yield "ani@example.com", {"smtp_url": f"smtp://127.0.0.1:{server.port}"}


@asynccontextmanager
async def blocked_bot() -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """A Telegram whose user has blocked the bot, until the next message."""
    bot = BotServer()
    bot.answer = lambda _: Reply(403 if len(bot.calls) == 0 else 200)
    async with bot.running():
        yield "1234", {"telegram_api_url": bot.url}


@asynccontextmanager
async def dead_webhook() -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """A Slack where somebody has removed the webhook, until the next message."""
    async with running(HttpServer([Answers(404, b"no_service"), Answers(200, b"ok")])) as server:
        yield f"{server.url}/services/T0/B0/x", {"slack_webhook_origins": (server.url,)}


@pytest.mark.parametrize(
    ("channel", "provider", "reason"),
    [
        ("email", bounced_mail, "address_unknown"),
        ("telegram", blocked_bot, "blocked"),
        ("slack", dead_webhook, "address_unknown"),
    ],
)
async def test_an_address_at_its_end_is_off_until_it_is_given_again(
    database_url: str, rabbitmq_url: str, channel: str, provider: Any, reason: str
) -> None:
    """One message is refused, the next is not even tried, an operator sees why, and a new word of the person heals."""
    async with (
        provider() as (address, settings),
        a_world(database_url, rabbitmq_url, channels=(channel,), **settings) as world,
    ):
        await world.know("ani", addresses={channel: [address]})

        assert await _fate(world, channel, 1) == ("refused", reason)
        assert await _fate(world, channel, 2) == ("skipped", "address_suppressed")
        shown = await kabar(environment_of(world.settings), "people", "show", "ani")
        assert f"not used: {reason}" in shown.out
        assert address not in shown.out

        await world.know("ani", addresses={channel: [address]})
        await world.until("SELECT 1 FROM addresses WHERE suppressed_at IS NULL")
        assert await _fate(world, channel, 3) == ("sent", "")


async def test_an_opt_out_between_dispatch_and_lease_is_the_last_word(database_url: str, rabbitmq_url: str) -> None:
    """The message is planned and waits for a courier; then the person says no: nothing is sent."""
    async with a_world(database_url, rabbitmq_url, roles=("intake", "timer"), channels=("email",)) as world:
        await world.know("ani")
        (event_id,) = await world.tell(held("ani"))
        await world.until("SELECT 1 FROM deliveries WHERE channel = 'email' AND state = 'queued'")
        await world.tell(PreferenceChanged(person_id="ani", scope="category:channel", channel="email", enabled=False))
        await world.until("SELECT 1 FROM preferences")

        async with worker(world.settings, "courier"):
            assert (await world.states(event_id))["ani", "email"] == ("skipped", "preference")
            await world.know("bo")
            await world.tell(held("bo"))
            await world.simulator.wait_for(1, 20, "email")

        (mail,) = world.simulator.arrived("email")
        assert "bo@example.com" in str(mail)


async def _fate(world: World, channel: str, number: int) -> tuple[str, str]:
    (event_id,) = await world.tell(StreamDisconnected(user_id="ani", stream_id=f"s{number}", title="Live"))
    await world.until("SELECT 1 FROM events WHERE id = $1", event_id)
    return (await world.states(event_id))["ani", channel]
