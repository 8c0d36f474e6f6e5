"""`kabar unsure`: what nobody knows whether it went out, and what an operator decides of it."""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal

import pytest

from schemas.events.billing import PaymentCompleted
from tests.acceptance.world import World, a_world
from tests.integration.command_line import Answer, environment_of, kabar

PAID = PaymentCompleted(user_id="ani", payment_id="p1", amount=Decimal(150000), currency="IDR", period="May")
HELD = """
UPDATE deliveries
SET state = 'unsure', reason = 'lease_ran_out', finished_at = now() - interval '2 hours', due_at = NULL
WHERE channel = $1 AND person_id = $2 RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Desk:
    """A running Kabar, and the operator before it."""

    world: World
    environment: dict[str, str]

    async def ask(self, *arguments: str, **environment: str) -> Answer:
        return await kabar(self.environment | environment, "unsure", *arguments)

    async def hold(self, person: str = "ani", channel: str = "email") -> str:
        """Tell somebody something, then let nobody know whether it went out; answers the delivery."""
        await self.world.know(person)
        (event_id,) = await self.world.tell(PAID.model_copy(update={"user_id": person}))
        await self.world.states(event_id)
        await self.world.rows(
            "INSERT INTO attempts (delivery_id, attempt, outcome, reason, detail)"
            " SELECT id, 1, 'unsure', 'lease_ran_out', '' FROM deliveries WHERE channel = $1 AND person_id = $2",
            channel, person,
        )  # fmt: skip
        (row,) = await self.world.rows(HELD, channel, person)
        return str(row["id"])

    async def delivery(self, delivery: str) -> dict[str, object]:
        (row,) = await self.world.rows("SELECT * FROM deliveries WHERE id = $1::text::uuid", delivery)
        return dict(row)

    async def audit(self, delivery: str) -> list[tuple[str, str, str]]:
        rows = await self.world.rows("SELECT * FROM audit WHERE subject = $1 ORDER BY at", delivery)
        return [(row["actor"], row["action"], row["detail"]) for row in rows]


@pytest.fixture
async def desk(database_url: str, rabbitmq_url: str) -> AsyncIterator[Desk]:
    async with a_world(database_url, rabbitmq_url, attempt_limit=1) as world:
        yield Desk(world, environment_of(world.settings))


async def test_what_is_held_is_listed_with_its_age_reason_and_person(desk: Desk) -> None:
    """An operator sees at a glance whom a doubt concerns and how old it is, and no address."""
    delivery = await desk.hold()

    shown = await desk.ask("list")
    told = await desk.ask("list", "--json")

    assert (shown.code, told.code) == (0, 0), shown.err + told.err
    for part in (
        delivery[:8],
        "email",
        "ani",
        "a…@example.com",
        "payment.completed",
        "lease_ran_out",
        "2:00:0",
        "1 of 1",
    ):
        assert part in shown.out
    assert "ani@example.com" not in shown.out + told.out
    (row,) = json.loads(told.out)
    assert (row["id"], row["person_id"], row["reason"]) == (delivery, "ani", "lease_ran_out")


async def test_a_list_is_narrowed_by_channel_type_and_age(desk: Desk) -> None:
    """Only what was asked for is shown; nothing at all is a sentence."""
    delivery = await desk.hold()

    for wanted in (["--channel", "email"], ["--type", "payment.completed"], ["--older-than", "1h"]):
        assert delivery[:8] in (await desk.ask("list", *wanted)).out
    for other in (["--channel", "slack"], ["--type", "order.shipped"], ["--older-than", "3h"]):
        assert (await desk.ask("list", *other)).out == "nothing is held\n"


async def test_a_held_message_is_sent_once_more_counted_and_audited(desk: Desk) -> None:
    """On an operator's word a doubtful message goes out again, and it is known who said so, and why."""
    delivery = await desk.hold()
    before = len(desk.world.simulator.arrived("email"))

    answer = await desk.ask("resend", delivery[:8], "--reason", "the relay says no")

    assert (answer.code, answer.out) == (0, f"{delivery[:8]} resent\n"), answer.err
    await desk.world.until("SELECT 1 FROM deliveries WHERE id = $1::text::uuid AND state = 'sent'", delivery)
    row = await desk.delivery(delivery)
    assert (row["attempt"], row["attempt_limit"], row["resends"]) == (2, 2, 1)
    assert len(desk.world.simulator.arrived("email")) == before + 1
    assert await desk.audit(delivery) == [(getpass.getuser(), "delivery.resent", "the relay says no")]


async def test_what_an_operator_decides_is_announced(desk: Desk) -> None:
    """Services that listen for a delivery's fate hear of it as of any other change."""
    resent, settled = await desk.hold("ani"), await desk.hold("bo")
    channel = await desk.world.broker.channel()
    queue = await channel.declare_queue(exclusive=True)
    for key in ("delivery.queued.email", "delivery.sent.email"):
        await queue.bind("kabar.status", key)

    await desk.ask("was-sent", settled)
    await desk.ask("resend", resent)
    await desk.world.until("SELECT 1 FROM deliveries WHERE id = $1::text::uuid AND state = 'sent'", resent)

    wanted = {(settled, "sent", "said_by_operator"), (resent, "queued", "lease_ran_out"), (resent, "sent", "")}
    async with asyncio.timeout(20), queue.iterator(no_ack=True) as messages:
        async for message in messages:
            wanted -= {
                (one["subject"], one["data"]["state"], one["data"]["reason"]) for one in json.loads(message.body)
            }
            if not wanted:
                break


async def test_a_message_that_went_out_ends_as_sent_on_the_operators_word(desk: Desk) -> None:
    """Nothing is sent, and the ledger says whose word it was."""
    delivery = await desk.hold()
    before = len(desk.world.simulator.arrived("email"))

    dry = await desk.ask("was-sent", delivery, "--dry-run")
    answer = await desk.ask("was-sent", delivery, "--reason", "seen in the relay's log")

    assert dry.out.startswith(f"{delivery[:8]} would count as sent, on your word\n1 of 1 would count as sent")
    assert (answer.code, answer.out) == (0, f"{delivery[:8]} counts as sent, on your word\n"), answer.err
    row = await desk.delivery(delivery)
    assert (row["state"], row["reason"], row["resends"]) == ("sent", "said_by_operator", 0)
    assert await desk.audit(delivery) == [(getpass.getuser(), "delivery.was_sent", "seen in the relay's log")]
    assert len(desk.world.simulator.arrived("email")) == before


async def test_many_are_chosen_by_a_filter_and_shown_before_anything_is_done(desk: Desk) -> None:
    """An operator reads what would happen, then lets it happen to all of them at once."""
    held = [await desk.hold(person) for person in ("ani", "bo", "cy")]
    await desk.world.rows("UPDATE deliveries SET expires_at = now() WHERE id = $1::text::uuid", held[2])

    dry = await desk.ask("resend", "--channel", "email", "--older-than", "1h", "--dry-run")
    kept = [(await desk.delivery(one))["state"] for one in held]
    done = await desk.ask("resend", "--channel", "email", "--older-than", "1h")

    assert dry.out.endswith("2 of 3 would be resent; nothing was changed\n")
    assert kept == ["unsure"] * 3
    assert (done.code, done.out) == (1, "2 resent, 1 refused\n")
    assert "too late to send" in done.err
    await desk.world.until("SELECT 1 FROM deliveries WHERE state = 'sent' AND resends = 1", count=2)
    assert (await desk.delivery(held[2]))["state"] == "unsure"


async def test_what_is_not_held_any_more_is_refused(desk: Desk) -> None:
    """Nobody is sent twice what somebody else has dealt with already."""
    delivery = await desk.hold()
    await desk.ask("was-sent", delivery)

    for word in ("resend", "was-sent"):
        answer = await desk.ask(word, delivery)
        assert (answer.code, answer.out) == (1, "")
        assert "is not held any more but sent" in answer.err
    assert len(await desk.audit(delivery)) == 1


async def test_nothing_is_resent_that_no_courier_serves(desk: Desk) -> None:
    """A channel that is switched off would leave it waiting for ever."""
    delivery = await desk.hold()

    answer = await desk.ask("resend", delivery, KABAR_CHANNELS="inbox")

    assert answer.code == 1
    assert "KABAR_CHANNELS" in answer.err
    assert (await desk.delivery(delivery))["state"] == "unsure"


async def test_the_inbox_shows_nothing_on_anybodys_word(desk: Desk) -> None:
    """What stands in the inbox is what Kabar sent there; it may be sent again instead."""
    delivery = await desk.hold(channel="inbox")

    refused = await desk.ask("was-sent", delivery)
    resent = await desk.ask("resend", delivery)

    assert refused.code == 1
    assert "resend it" in refused.err
    assert resent.code == 0
    await desk.world.until("SELECT 1 FROM deliveries WHERE id = $1::text::uuid AND state = 'sent'", delivery)


async def test_a_choice_must_be_made_and_be_one(desk: Desk) -> None:
    """Nothing is done to everything by a forgotten word, and nothing to a mistyped id."""
    delivery = await desk.hold()

    for arguments, says in (
        ([], "name deliveries by their ids"),
        ([delivery, "--channel", "email"], "name deliveries by their ids"),
        (["--older-than", "soon"], "no span of time"),
        (["xyz"], "is no delivery's id"),
        (["00000000"], "no delivery has an id"),
    ):
        answer = await desk.ask("resend", *arguments)
        assert answer.code == 2, arguments
        assert says in " ".join(answer.err.replace("│", "").split())
    assert (await desk.delivery(delivery))["state"] == "unsure"
