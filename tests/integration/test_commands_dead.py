"""`kabar status` and `kabar dead`: what an operator sees of an event, and what can be done where it failed."""

from __future__ import annotations

import getpass
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import aio_pika
import pytest

from schemas.events.billing import PaymentFailed
from schemas.events.custom import Custom
from tests.acceptance.world import World, a_world
from tests.integration.command_line import Answer, environment_of, kabar
from worker.broker.consumer import ORIGINAL_KEY
from worker.core.dead_letter import CODE, REMEDY
from worker.ledger.connection import Ledger, statement

NOW = datetime(2026, 5, 4, tzinfo=UTC)
FAILED = PaymentFailed(user_id="ani", payment_id="p1", amount=Decimal(150000), currency="IDR", reason="expired")


@dataclass(frozen=True, slots=True)
class Office:
    """A running Kabar, and the operator before it."""

    world: World
    environment: dict[str, str]

    async def ask(self, *arguments: str, **environment: str) -> Answer:
        return await kabar(self.environment | environment, *arguments)

    async def letter(self, where: str, *arguments: object) -> str:
        """Wait for an open letter; answers its id."""
        (row,) = await self.world.until(f"SELECT id FROM dead_letters WHERE state = 'open' AND {where}", *arguments)  # noqa: S608 - ours
        return str(row["id"])

    async def dead_delivery(self) -> str:
        """Let a delivery die at its only attempt; answers its letter."""
        await self.world.know("ani", addresses={"email": ["fail-transient@example.com"]})
        await self.world.tell(FAILED)
        return await self.letter("kind = 'delivery'")

    async def rescue(self) -> None:
        """Let what failed before go well from now on."""
        await self.world.rows("UPDATE addresses SET address = 'ani@example.com'")
        await self.world.rows("UPDATE deliveries SET address = 'ani@example.com' WHERE channel = 'email'")

    async def bury(self, body: bytes, key: str, **headers: str) -> str:
        """Put a message where the broker puts what it gave up on; answers its letter."""
        channel = await self.world.broker.channel()
        exchange = await channel.get_exchange("kabar.dlx")
        carried = {ORIGINAL_KEY: key, CODE: "killed_workers", REMEDY: "look", **headers}
        message = aio_pika.Message(
            body,
            message_id="e-1",
            app_id="shop",
            content_type="application/json",
            headers=carried,  # type: ignore[arg-type]
        )
        await exchange.publish(message, "intake")
        await channel.close()
        return await self.letter("kind = 'event' AND event_id = 'e-1'")

    async def history(self, letter: str) -> list[tuple[str, str, str]]:
        rows = await self.world.rows("SELECT * FROM audit WHERE subject = $1 ORDER BY at", letter)
        return [(row["actor"], row["action"], row["detail"]) for row in rows]

    async def state(self, letter: str) -> str:
        (row,) = await self.world.rows("SELECT state FROM dead_letters WHERE id = $1::text::uuid", letter)
        return str(row["state"])


@pytest.fixture
async def office(database_url: str, rabbitmq_url: str) -> AsyncIterator[Office]:
    async with a_world(database_url, rabbitmq_url, attempt_limit=1) as world:
        yield Office(world, environment_of(world.settings))


async def test_status_tells_every_delivery_with_attempts_and_reasons(office: Office) -> None:
    """For any event an operator sees who was told, on what channel, and why somebody was not."""
    await office.world.know("ani", addresses={"email": ["fail-transient@example.com"], "telegram": ["12345"]})
    (event_id,) = await office.world.tell(FAILED)
    await office.world.states(event_id)

    shown = await office.ask("status", event_id)
    told = await office.ask("status", event_id, "--json", "--source", "shop")

    assert (shown.code, told.code) == (0, 0), shown.err + told.err
    for part in (event_id, "payment.failed", "shop", "sent", "skipped", "channel_not_configured", "dead", "1 of 1"):
        assert part in shown.out
    assert "example.com" not in shown.out
    document = json.loads(told.out)
    (event,) = document["events"]
    assert event["deliveries_total"] == 4
    by_channel = {row["channel"]: row for row in event["deliveries"]}
    assert {channel: row["state"] for channel, row in by_channel.items()} == {
        "inbox": "sent", "email": "dead", "telegram": "sent", "sms": "skipped",
    }  # fmt: skip
    (attempt,) = by_channel["email"]["attempts"]
    assert (attempt["attempt"], attempt["outcome"]) == (1, "deferred")
    assert attempt["reason"] == by_channel["email"]["reason"]


async def test_status_tells_when_a_delivery_is_tried_again(database_url: str, rabbitmq_url: str) -> None:
    """What waits has a next due time, to be read by people and machines."""
    async with a_world(database_url, rabbitmq_url) as world:
        environment = environment_of(world.settings)
        await world.know("ani", addresses={"email": ["fail-transient@example.com"]})
        (event_id,) = await world.tell(FAILED)
        await world.until("SELECT 1 FROM deliveries WHERE state = 'waiting'")
        await world.rows("UPDATE deliveries SET due_at = now() + interval '1 hour' WHERE state = 'waiting'")

        shown = await kabar(environment, "status", event_id)
        told = await kabar(environment, "status", event_id, "--json")

    assert "waiting" in shown.out
    assert "sent again" in shown.out
    assert "in 35" in shown.out
    (waiting,) = [row for row in json.loads(told.out)["events"][0]["deliveries"] if row["state"] == "waiting"]
    assert datetime.fromisoformat(waiting["due_at"]) > datetime.fromisoformat(waiting["created_at"])


async def test_status_counts_repetitions_and_knows_sources_apart(office: Office) -> None:
    """The same id twice from one source is one event that arrived again; from two sources it is two events."""
    await office.world.know("ani")
    event = Custom(user_ids=["ani"], title="Hi", message="Hello")
    body = event.model_dump_json(exclude_none=True).encode()
    for source in ("shop", "shop", "till"):
        await office.world.publish_raw(body, "custom.hello", message_id="twin", app_id=source)
    await office.world.until("SELECT 1 FROM events WHERE id = 'twin' AND (source = 'till' OR repeats = 1)", count=2)

    both = await office.ask("status", "twin", "--json")
    one = await office.ask("status", "twin", "--source", "shop")

    events = json.loads(both.out)["events"]
    assert {(event["source"], event["repeats"]) for event in events} == {("shop", 1), ("till", 0)}
    assert "arrived again  once" in one.out
    assert "till" not in one.out


async def test_status_shows_no_more_deliveries_than_asked_for_and_counts_all(office: Office) -> None:
    """An event for very many people still fits a screen, and its numbers are complete."""
    people = [f"p{number}" for number in range(30)]
    await office.world.publish_raw(
        json.dumps({"user_ids": people, "title": "Hi", "message": "Hello"}).encode(), "custom.all", message_id="all"
    )
    await office.world.until("SELECT 1 FROM deliveries", count=30)

    shown = await office.ask("status", "all", "--limit", "10")

    assert "inbox skipped 30" in shown.out
    assert "… and 20 more" in shown.out
    assert shown.out.count("person_unknown") == 10


async def test_status_tells_of_an_event_that_was_rejected(office: Office) -> None:
    """A producer who asks what became of a bad event reads the reason, the field and the remedy."""
    await office.world.publish_raw(b'{"user_id":"ani"}', "order.shipped", message_id="bad")
    await office.letter("event_id = 'bad'")

    shown = await office.ask("status", "bad")

    assert shown.code == 0
    assert "payload_invalid" in shown.out
    assert "data.order_code" in shown.out


async def test_no_question_reads_a_whole_table(database_url: str) -> None:
    """Looking something up costs the same in a ledger of a hundred million rows."""
    ledger = Ledger(database_url)
    await ledger.open()
    some_id = uuid4()
    for name, *arguments in (
        ("event_find", "e", "", 20), ("event_counts", some_id), ("event_deliveries", some_id, 10),
        ("attempts_of", [some_id]), ("delivery_find", some_id), ("dead_of_event", "e", 20),
        ("dead_list", "", "", "", "", NOW, 10), ("dead_tally", "", "", "", "", NOW), ("dead_group_find", "ab"),
        ("dead_page", "", "", "", "", NOW, NOW, some_id, 10, 1000), ("dead_groups", False, 10),
        ("dead_find", "abcdef"), ("dead_history", some_id), ("dead_fates", [some_id]),
        ("dead_payload", some_id), ("dead_export", "", "", "", "", NOW, some_id, 10, 1000),
        ("person_find", "ani"), ("backlog",),
    ):  # fmt: skip
        plan = "\n".join(row[0] for row in await ledger.fetch(f"EXPLAIN {statement(name)}", *arguments))

        assert "Seq Scan" not in plan, plan
    await ledger.aclose()


async def test_status_of_an_unknown_event_is_an_error(office: Office) -> None:
    """A mistyped id is never answered with an empty table."""
    answer = await office.ask("status", "no-such-event", "--json")

    assert (answer.code, answer.out) == (2, "")
    assert "no event 'no-such-event'" in answer.err


async def test_a_dead_delivery_is_listed_shown_and_replayed_with_a_new_budget(office: Office) -> None:
    """A delivery whose attempts are used up can be sent again by hand, and who did so is recorded."""
    letter = await office.dead_delivery()

    listed = await office.ask("dead", "list", "--json")
    shown = await office.ask("dead", "show", letter[:8])
    await office.rescue()
    replayed = await office.ask("dead", "replay", letter[:8])

    assert [row["id"] for row in json.loads(listed.out)] == [letter]
    for part in (letter, "delivery", "email", "is now", "dead", "1 of 1", "deferred"):
        assert part in shown.out
    assert (replayed.code, replayed.out) == (0, f"{letter[:8]} replayed\n"), replayed.err
    (mail,) = await office.world.simulator.wait_for(1, 20, "email")
    assert mail.to == "ani@example.com"
    (delivery,) = await office.world.until("SELECT * FROM deliveries WHERE channel = 'email' AND state = 'sent'")
    assert (delivery["attempt"], delivery["attempt_limit"]) == (2, 2)
    assert await office.state(letter) == "replayed"
    assert await office.history(letter) == [(getpass.getuser(), "dead_letter.replayed", "1 more attempts")]
    assert "dead_letter.replayed" in (await office.ask("dead", "show", letter[:8])).out
    assert (await office.ask("dead", "list")).out == "no open dead letters\n"


async def test_every_replay_gives_the_same_budget_and_a_failure_opens_a_new_letter(office: Office) -> None:
    """However often a delivery is replayed, it is tried as often as a new one, and is never lost from sight."""
    first = await office.dead_delivery()
    await office.ask("dead", "replay", first)
    second = await office.letter("kind = 'delivery'")

    await office.ask("dead", "replay", second)
    third = await office.letter("kind = 'delivery'")

    assert len({first, second, third}) == 3
    (delivery,) = await office.world.rows("SELECT * FROM deliveries WHERE channel = 'email'")
    assert (delivery["state"], delivery["attempt"], delivery["attempt_limit"]) == ("dead", 3, 3)


async def test_a_delivery_that_is_not_dead_any_more_is_not_sent_twice(office: Office) -> None:
    """A letter that was dealt with already is refused, and the operator reads what the delivery is now."""
    letter = await office.dead_delivery()
    await office.rescue()
    await office.ask("dead", "replay", letter)
    await office.world.until("SELECT 1 FROM deliveries WHERE channel = 'email' AND state = 'sent'")

    answer = await office.ask("dead", "replay", letter)

    assert answer.code == 1
    assert "is replayed already: its delivery is sent" in answer.err
    assert len(office.world.simulator.arrived("email")) == 1


async def test_an_expired_delivery_is_not_replayed(office: Office) -> None:
    """What is too late to be of use is not sent, and says so."""
    letter = await office.dead_delivery()
    await office.world.rows("UPDATE deliveries SET expires_at = now() WHERE channel = 'email'")

    answer = await office.ask("dead", "replay", letter)

    assert answer.code == 1
    assert "expired" in answer.err
    assert await office.state(letter) == "open"


async def test_a_delivery_of_a_channel_that_is_switched_off_is_not_replayed(office: Office) -> None:
    """Nothing is made ready that no courier serves."""
    letter = await office.dead_delivery()

    answer = await office.ask("dead", "replay", letter, KABAR_CHANNELS="inbox")

    assert answer.code == 1
    assert "KABAR_CHANNELS" in answer.err
    assert await office.state(letter) == "open"


async def test_a_buried_event_is_replayed_as_its_producer_sent_it(office: Office) -> None:
    """After the cause is mended, an event goes its whole way as if nothing had happened."""
    await office.world.know("ani")
    letter = await office.bury(FAILED.model_dump_json(exclude_none=True).encode(), "payment.failed", note="kept")

    answer = await office.ask("dead", "replay", letter[:6])

    assert answer.code == 0, answer.err
    states = await office.world.states("e-1")
    assert states["ani", "email"] == ("sent", "")
    (event,) = await office.world.rows("SELECT type, source, extensions FROM events WHERE id = 'e-1'")
    assert (event["type"], event["source"], json.loads(event["extensions"])) == (
        "payment.failed", "shop", {"note": "kept"},
    )  # fmt: skip
    assert await office.state(letter) == "replayed"
    assert await office.history(letter) == [(getpass.getuser(), "dead_letter.replayed", "kabar.intake.normal")]


async def test_an_event_that_fails_again_opens_its_letter_again(office: Office) -> None:
    """A replay that changes nothing is not taken for a solution."""
    await office.world.publish_raw(b'{"user_id":"ani"}', "order.shipped", message_id="bad", app_id="shop")
    letter = await office.letter("event_id = 'bad'")

    await office.ask("dead", "replay", letter)

    assert await office.letter("event_id = 'bad' AND arrivals = 2") == letter
    assert [action for _, action, _ in await office.history(letter)] == ["dead_letter.replayed"]
    await office.ask("dead", "replay", letter, letter)
    assert await office.letter("event_id = 'bad' AND arrivals = 3") == letter


async def test_without_a_broker_a_replay_changes_nothing(office: Office) -> None:
    """Where the message cannot be sent, the letter stays open."""
    event = await office.bury(b"{}", "order.shipped")
    delivery = await office.dead_delivery()

    answer = await office.ask("dead", "replay", event, delivery, KABAR_AMQP_URL="amqp://u:hidden@127.0.0.1:1/")

    assert answer.code == 2
    assert "the broker is away" in answer.err
    assert "hidden" not in answer.err
    assert [await office.state(event), await office.state(delivery)] == ["open", "open"]
    assert await office.history(event) == []


async def test_a_dropped_letter_is_closed_and_says_who_and_why(office: Office) -> None:
    """What nobody wants any more leaves the list and stays in the ledger."""
    letter = await office.bury(b"{}", "order.shipped")

    dropped = await office.ask("dead", "drop", letter[:8], "--reason", "a test of the shop")
    again = await office.ask("dead", "drop", letter[:8], "--reason", "once more")
    unexplained = await office.ask("dead", "drop", letter[:8], "--reason", " ")

    assert (dropped.code, dropped.out) == (0, f"{letter[:8]} dropped\n")
    assert (again.code, unexplained.code) == (1, 2)
    assert "is dropped already" in again.err
    assert await office.history(letter) == [(getpass.getuser(), "dead_letter.dropped", "a test of the shop")]
    assert json.loads((await office.ask("dead", "list", "--json")).out) == []


async def test_a_job_that_cannot_be_read_can_only_be_dropped(office: Office) -> None:
    """A broken job holds no message: its deliveries are handed out anew without it."""
    channel = await office.world.broker.channel()
    exchange = await channel.get_exchange("kabar.deliver")
    await exchange.publish(aio_pika.Message(b"not a job"), "email.normal")
    letter = await office.letter("kind = 'job'")

    replayed = await office.ask("dead", "replay", letter)
    shown = await office.ask("dead", "show", letter)
    dropped = await office.ask("dead", "drop", letter, "--reason", "ours")

    assert (replayed.code, dropped.code) == (1, 0)
    assert "drop it" in replayed.err
    assert "not a job" in shown.out


async def test_an_id_that_names_no_letter_is_an_error(database_url: str) -> None:
    """Whatever is mistyped, nothing is done and the answer is one line."""
    environment = {"KABAR_DATABASE_URL": database_url, "KABAR_AMQP_URL": "amqp://127.0.0.1:1/"}
    for command, given in (
        ("show", "abc"), ("replay", "no-such-letter"), ("drop", "ffffffff"), ("show", "%%%%%%"), ("drop", "--"),
    ):  # fmt: skip
        why = ["--reason", "x"] if command == "drop" else []
        answer = await kabar(environment, "dead", command, *why, "--", given)

        assert answer.code == 2
        assert len(answer.err.strip().splitlines()) == 1, answer.err


async def test_a_letter_keeps_the_routing_key_it_was_published_with(office: Office) -> None:
    """Also where the broker gave up on a message and replaced the key by its own, a replay finds its way."""
    big = {"big": "x" * 110_000}
    await office.world.publish_raw(b"{}", "order.shipped", message_id="big", app_id="shop", headers=big)
    letter = await office.letter("event_id = 'big'")

    await office.ask("dead", "replay", letter)

    assert await office.letter("event_id = 'big' AND arrivals = 2") == letter
    (row,) = await office.world.rows("SELECT routing_key, event_type, reason FROM dead_letters")
    assert tuple(row) == ("order.shipped", "order.shipped", "headers_too_large")


async def test_an_ambiguous_id_is_an_error_and_nothing_is_done(office: Office) -> None:
    """Where two letters begin alike, neither is touched; nor is any other that was named beside them."""
    letter = await office.bury(b"{}", "order.shipped")
    for end in ("1", "2"):
        await office.world.rows(
            "INSERT INTO dead_letters SELECT ($1 || $2)::uuid, kind, delivery_id, event_id, event_type, channel, stage,"
            " reason, field, remedy, fingerprint, body, properties, routing_key FROM dead_letters LIMIT 1",
            "abcdef00-0000-0000-0000-00000000000", end,
        )  # fmt: skip

    answer = await office.ask("dead", "drop", letter, "abcdef", "--reason", "x")

    assert answer.code == 2
    assert "several" in answer.err
    assert await office.state(letter) == "open"


async def test_a_hostile_body_cannot_steer_the_terminal(office: Office) -> None:
    """What a producer sent is shown as text: no escape sequences, no markup, and no more than a screenful or so."""
    body = b'{"a":"\x1b[2J [red]x[/red] \xc2\x9b","long":"' + b"y" * 20_000 + b'"}'
    letter = await office.bury(body, "order.shipped", evil="\x1b]0;title\x07[bold]")

    shown = await office.ask("dead", "show", letter)
    full = await office.ask("dead", "show", letter, "--full")

    assert "\x1b" not in shown.out + full.out
    assert "\x9b" not in shown.out + full.out
    assert "[red]x[/red]" in shown.out
    assert "[bold]" in shown.out
    assert "y" * 8_000 in shown.out
    assert "y" * 9_000 not in shown.out
    assert "--full" in shown.out
    assert "y" * 20_000 in full.out


async def test_bytes_that_are_no_text_are_shown(office: Office) -> None:
    """Whatever arrived can be looked at."""
    letter = await office.bury(b"\xff\xfe\x00binary", "order.shipped")

    shown = await office.ask("dead", "show", letter)

    assert shown.code == 0
    assert r"\xff\xfe" in shown.out
    assert "9 bytes" in shown.out


async def test_commands_say_what_to_do_about_a_database_without_a_schema(
    empty_database_url: str, office: Office
) -> None:
    """A forgotten migration is named as such."""
    for arguments in (["dead", "list"], ["status", "x"], ["people", "show", "x"]):
        answer = await office.ask(*arguments, KABAR_DATABASE_URL=empty_database_url)

        assert answer.code == 2
        assert "kabar migrate" in answer.err
        assert "Traceback" not in answer.err
