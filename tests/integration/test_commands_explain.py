"""`kabar explain`: why somebody was told, or was not, as it was decided then."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from schemas.events.billing import PaymentCompleted, PaymentFailed
from schemas.events.custom import Custom
from schemas.events.directory import PersonRemoved, PreferenceChanged
from tests.acceptance.world import World, a_world
from tests.integration.command_line import Answer, environment_of, kabar

FAILED = PaymentFailed(user_id="ani", payment_id="p1", amount=Decimal(150000), currency="IDR", reason="expired")
PAID = PaymentCompleted(user_id="ani", payment_id="p1", amount=Decimal(150000), currency="IDR", period="May")


@dataclass(frozen=True, slots=True)
class Desk:
    """A running Kabar, and the operator before it."""

    world: World
    environment: dict[str, str]

    async def ask(self, *arguments: str) -> Answer:
        return await kabar(self.environment, "explain", *arguments)

    async def tell(self, *arguments: str) -> str:
        """What is printed, each run of blanks as one, for lines are cut by width."""
        answer = await self.ask(*arguments)
        assert (answer.code, answer.err) == (0, "")
        return " ".join(answer.out.split())

    async def document(self, *arguments: str) -> dict[str, Any]:
        answer = await self.ask(*arguments, "--json")
        assert (answer.code, answer.err) == (0, "")
        found: dict[str, Any] = json.loads(answer.out)
        return found

    async def settled(self, event: Any, **attributes: Any) -> str:
        """Publish an event and wait until nothing of it is under way."""
        (event_id,) = await self.world.tell(event, **attributes)
        await self.world.until("SELECT 1 FROM events WHERE id = $1", event_id)
        await self.world.states(event_id)
        return event_id

    async def wish(self, scope: str, channel: str, *, enabled: bool) -> None:
        await self.world.tell(PreferenceChanged(person_id="ani", scope=scope, channel=channel, enabled=enabled))
        await self.world.until(
            "SELECT 1 FROM preferences WHERE scope = $1 AND channel = $2 AND enabled = $3", scope, channel, enabled
        )


@pytest.fixture
async def desk(database_url: str, rabbitmq_url: str) -> AsyncIterator[Desk]:
    async with a_world(database_url, rabbitmq_url, attempt_limit=1) as world:
        yield Desk(world, environment_of(world.settings))


def steps_of(document: dict[str, Any], channel: str) -> list[dict[str, str]]:
    (event,) = document["events"]
    (found,) = [
        delivery["steps"]
        for notification in event["notifications"]
        for delivery in notification["deliveries"]
        if delivery["channel"] == channel
    ]
    return list(found)


async def test_the_whole_way_of_an_event_to_a_person_is_told_in_order(desk: Desk) -> None:
    """Arrival, routes, what decided on each channel, the address masked, every attempt, and what comes next."""
    await desk.world.know("ani", addresses={"email": ["fail-transient@example.com"], "telegram": ["12345"]})
    event_id = await desk.settled(FAILED)

    told = await desk.tell(event_id, "ani")
    document = await desk.document(event_id, "ani")

    for part in (
        "received: payment.failed, version 1, from shop", "whom user_id in the event's data names: ani was in it",
        "to be sent to f…@example.com: it is critical", "attempt 1 deferred after", "dead letter",
        "an operator decides: kabar dead show", "nothing: it is at its end", "ready in the lane",
        "channel_not_configured",
    ):  # fmt: skip
        assert part in told, told
    assert "fail-transient" not in told + json.dumps(document)
    stages = [one["stage"] for one in steps_of(document, "email")]
    assert stages == ["decide", "dispatch", "send", "settle", "settle", "next"]
    times = [one["at"] for one in steps_of(document, "email") if one["at"]]
    assert times == sorted(times)
    assert document["answer"].startswith("ani: ")
    (event,) = document["events"]
    assert [(one["route"], one["rule"]) for one in event["notifications"]] == [("user", "user_id")]


async def test_what_is_told_is_the_truth_of_then_and_says_what_has_changed_since(desk: Desk) -> None:
    """A preference or a role of today is never taken for that of the day on which it was decided."""
    await desk.world.know("ani")
    await desk.wish("category:billing", "email", enabled=True)
    event_id = await desk.settled(PAID)
    await desk.wish("type:payment.completed", "email", enabled=False)
    await desk.world.rows(
        "UPDATE addresses SET suppressed_at = now(), suppressed_reason = 'mailbox_unknown' WHERE channel = 'email'"
    )

    steps = steps_of(await desk.document(event_id, "ani"), "email")

    says = [one["says"] for one in steps]
    assert "the preference category:billing on email said on" in says[0]
    assert [one for one in says if one.startswith("since changed")] == [
        "since changed: the address is switched off: mailbox_unknown",
        "since changed: the preference type:payment.completed on email says off",
    ]


async def test_a_preference_that_said_no_is_named(desk: Desk) -> None:
    """Whoever asks why nothing came reads which wish it was, also when it is gone."""
    await desk.world.know("ani")
    await desk.wish("*", "email", enabled=False)
    event_id = await desk.settled(PAID)
    await desk.world.rows("DELETE FROM preferences")

    steps = steps_of(await desk.document(event_id, "ani"), "email")

    assert steps[0]["says"] == "not sent: the person does not want it (preference); the preference * on email said off"
    assert "no preference is about it any more" in steps[-1]["says"]


async def test_a_missing_and_a_suppressed_address_are_told_apart(desk: Desk) -> None:
    """No address, or one that is switched off, and why."""
    await desk.world.know("ani", addresses={})
    missing = await desk.settled(PAID)
    await desk.world.know("bo")
    await desk.world.rows(
        "UPDATE addresses SET suppressed_at = now(), suppressed_reason = 'bounced' WHERE person_id = 'bo'"
    )
    suppressed = await desk.settled(PAID.model_copy(update={"user_id": "bo"}))

    assert "no_address" in steps_of(await desk.document(missing, "ani"), "email")[0]["says"]
    says = steps_of(await desk.document(suppressed, "bo"), "email")[0]["says"]
    assert "the address was switched off (address_suppressed: bounced)" in says


async def test_what_was_seen_at_lease_is_told_as_seen_then(desk: Desk) -> None:
    """A person who opted out after the plan was made was planned for, looked at again, and not sent to."""
    await desk.world.know("ani")
    event_id = await desk.settled(PAID)
    await desk.world.rows(
        "UPDATE deliveries SET state = 'skipped', reason = 'preference', attempt = 0 WHERE channel = 'email'"
    )

    steps = steps_of(await desk.document(event_id, "ani"), "email")

    assert [one["stage"] for one in steps][:3] == ["decide", "dispatch", "lease"]
    assert steps[2]["says"].startswith("looked at once more and not sent: the person does not want it")


@pytest.mark.parametrize(
    ("change", "stage", "says"),
    [
        ("state = 'waiting', due_at = now() + interval '1 h', finished_at = NULL", "next", "attempt 2 at "),
        ("state = 'leased', due_at = now() + interval '1 min', finished_at = NULL", "next", "the lease runs out"),
        ("state = 'queued', due_at = now() + interval '1 min', finished_at = NULL", "next", "a courier takes it"),
        ("state = 'unsure', reason = 'lease_ran_out'", "next", "kabar unsure resend, or was-sent"),
        ("state = 'expired', reason = 'expired'", "lease", "expired before it was sent"),
        ("resends = 2", "settle", "sent again 2 times without knowing"),
    ],
)
async def test_what_comes_next_is_told_for_every_state(desk: Desk, change: str, stage: str, says: str) -> None:
    """Nobody has to know the states to know what will happen, and when."""
    await desk.world.know("ani")
    event_id = await desk.settled(PAID)
    await desk.world.process.ledger.fetch("UPDATE deliveries SET channel = 'pigeon' WHERE channel = 'email'")
    await desk.world.rows(f"UPDATE deliveries SET {change} WHERE channel = 'pigeon'")  # noqa: S608 - ours

    steps = steps_of(await desk.document(event_id, "ani"), "pigeon")

    assert any(one["stage"] == stage and says in one["says"] for one in steps), steps


async def test_what_operators_did_is_part_of_the_story(desk: Desk) -> None:
    """A replay of a dead letter and a word on a doubt stand among the attempts, with the name."""
    await desk.world.know("ani", addresses={"email": ["fail-transient@example.com"]})
    event_id = await desk.settled(FAILED)
    (letter,) = await desk.world.until("SELECT id FROM dead_letters WHERE state = 'open'")
    await kabar(desk.environment, "dead", "replay", str(letter["id"]))
    await desk.world.until("SELECT 1 FROM dead_letters WHERE state = 'open'")

    says = [one["says"] for one in steps_of(await desk.document(event_id, "ani"), "email")]

    assert sum(one.startswith("attempt ") for one in says) == 2
    (at,) = [number for number, one in enumerate(says) if one.startswith("dead letter replayed by")]
    assert says[at - 1].startswith(("dead letter ", "attempt 1"))
    assert says[at + 1].startswith("attempt 2")


async def test_a_dropped_letter_is_the_end_of_a_delivery(desk: Desk) -> None:
    """Nobody is asked to decide what was decided, and the decision stands behind what it was about."""
    await desk.world.know("ani", addresses={"email": ["fail-transient@example.com"]})
    event_id = await desk.settled(FAILED)
    (letter,) = await desk.world.until("SELECT id FROM dead_letters WHERE state = 'open'")
    await kabar(desk.environment, "dead", "drop", str(letter["id"]), "--reason", "not needed")

    steps = steps_of(await desk.document(event_id, "ani"), "email")

    assert [one["says"].partition(" by")[0] for one in steps[-2:]] == [
        "dead letter dropped", "nothing: its dead letter was dropped"
    ]  # fmt: skip
    times = [one["at"] for one in steps if one["at"]]
    assert times == sorted(times)


async def test_an_operators_word_stands_where_it_was_given(desk: Desk) -> None:
    """What was held ended before somebody said that it went out, and the story keeps the order of time."""
    await desk.world.know("ani")
    event_id = await desk.settled(PAID)
    (held,) = await desk.world.rows(
        "UPDATE deliveries SET state = 'unsure', reason = 'no_answer', finished_at = now() - interval '1 h'"
        " WHERE channel = 'email' RETURNING id"
    )
    await kabar(desk.environment, "unsure", "was-sent", str(held["id"]), "--reason", "seen in the log")

    steps = steps_of(await desk.document(event_id, "ani"), "email")

    says = [one["says"] for one in steps]
    (at,) = [number for number, one in enumerate(says) if one.startswith("said to be sent by")]
    assert says[at].endswith(": seen in the log")
    assert says[at + 1].startswith("counts as sent by 127.0.0.1:")
    times = [one["at"] for one in steps if one["at"]]
    assert times == sorted(times)


async def test_what_an_operator_mended_is_told_without_its_secrets(desk: Desk, tmp_path: Path) -> None:
    """That a payload was changed is told, and by whom; what it holds is for whoever asks for the letter itself."""
    await desk.world.know("ani")
    body = {"user_ids": ["ani"], "message": "Hello", "password": "hunter2-old", "note": "ask eve@example.com"}
    await desk.world.publish_raw(json.dumps(body).encode(), "custom.note", message_id="bad", app_id="shop")
    letter = await desk.world.dead_letter("bad")
    mended = tmp_path / "mended.json"
    mended.write_text(json.dumps({**body, "title": "Hi", "password": "hunter2-new", "note": "ask bob@example.com"}))
    await kabar(desk.environment, "dead", "edit", str(letter["id"]), "--data", str(mended))

    told = await desk.tell("bad", "ani")

    assert "payload mended by" in told
    assert f"kabar dead show {str(letter['id'])[:8]}" in told
    for secret in ("hunter2", "eve@example.com", "bob@example.com"):
        assert secret not in told + json.dumps(await desk.document("bad", "ani"))


async def test_a_provider_that_rests_is_why_nothing_goes_out(desk: Desk) -> None:
    """While no provider of the channel is in service the answer names each, its trouble, and when it is tried."""
    await desk.world.know("ani")
    event_id = await desk.settled(PAID)
    await desk.world.rows(
        "UPDATE deliveries SET channel = 'pigeon', state = 'queued', due_at = now() + interval '1 min',"
        " finished_at = NULL WHERE channel = 'email'"
    )
    await desk.world.rows(
        "INSERT INTO accounts (name, provider, state, reason, failures, open_until)"
        " VALUES ('pigeon', 'loft.test', 'open', 'provider_unreachable', 3, now() + interval '40 s')"
    )

    resting = await _next(desk, event_id)
    await desk.world.rows("INSERT INTO accounts (name, provider) VALUES ('pigeon:2', 'coop.test')")
    served = await _next(desk, event_id)

    assert "loft.test rests (provider_unreachable, 3 times), tried in" in resting
    assert served.startswith("a courier takes it")


async def _next(desk: Desk, event_id: str) -> str:
    (step,) = [one for one in steps_of(await desk.document(event_id, "ani"), "pigeon") if one["stage"] == "next"]
    return step["says"]


async def test_somebody_outside_the_audience_reads_whom_each_route_told(desk: Desk) -> None:
    """Why not me: the rules, and that a role was given only later."""
    await desk.world.know("ani")
    await desk.world.know("root", roles=["staff"])
    event_id = await desk.settled(
        Custom(title="Hi", message="Hello"), type="custom.hello", audience="user:ani role:staff"
    )
    await desk.world.know("late", roles=["staff"])
    await desk.world.rows("UPDATE events SET routes = 'envelope=role:staff' WHERE id = $1", event_id)

    told = await desk.tell(event_id, "late")
    stranger = await desk.tell(event_id, "nobody")

    assert told.startswith("late is not in the audience")
    assert "everybody with the role staff: late was not in it; since changed: has the role now" in told
    assert stranger.startswith("nobody is not in the audience, and nobody of this id is known")
    assert "as everybody with the role staff" not in await desk.tell(event_id, "ani")


async def test_the_events_own_audience_is_told_as_such(desk: Desk) -> None:
    """Whom the producer named stands there in the producer's words."""
    await desk.world.know("root", roles=["staff"])
    event_id = await desk.settled(Custom(title="Hi", message="Hello"), type="custom.hello", audience="role:staff")

    told = await desk.tell(event_id, "root")

    assert "whom the event's own audience names (role:staff): root was in it, as everybody with the role staff" in told


async def test_somebody_unknown_and_somebody_removed_are_told_apart(desk: Desk) -> None:
    """Named by the event and never heard of, or gone since."""
    unknown = await desk.settled(PAID.model_copy(update={"user_id": "ghost"}))
    await desk.world.know("ani")
    removed = await desk.settled(PAID)
    await desk.world.tell(PersonRemoved(person_id="ani"))
    await desk.world.until("SELECT 1 FROM people WHERE removed_at IS NOT NULL")

    assert "nobody of this id was known (person_unknown" in await desk.tell(unknown, "ghost")
    assert "since changed: the person is gone" in await desk.tell(removed, "ani")


async def test_copies_of_an_event_and_the_same_id_from_elsewhere_are_told_apart(desk: Desk) -> None:
    """A duplicate changed nothing; another source's event of the same id is another event."""
    await desk.world.know("ani")
    body = Custom(user_ids=["ani"], title="Hi", message="Hello").model_dump_json(exclude_none=True).encode()
    for source in ("shop", "shop", "till"):
        await desk.world.publish_raw(body, "custom.hello", message_id="twin", app_id=source)
    await desk.world.until("SELECT 1 FROM events WHERE id = 'twin' AND (source = 'till' OR repeats = 1)", count=2)

    told = await desk.tell("twin", "ani")
    one = await desk.document("twin", "ani", "--source", "till")

    assert "arrived again once: duplicates of itself, which changed nothing" in told
    assert "the same id came from 'till' too: another event" in told
    assert [event["source"] for event in one["events"]] == ["till"]


@pytest.mark.parametrize(
    ("kind", "reason"), [("order.shiped", "type_unknown"), ("order.shipped", "payload_invalid at data.order_code")]
)
async def test_an_event_that_was_not_taken_in_says_why_and_what_to_do(desk: Desk, kind: str, reason: str) -> None:
    """An unknown type or a bad payload: the reason, the field, the remedy, and where its letter is."""
    await desk.world.publish_raw(b'{"user_id":"ani"}', kind, message_id="bad")
    letter = await desk.world.dead_letter("bad")

    told = await desk.tell("bad", "ani")
    document = await desk.document("bad", "ani")

    assert told.startswith(f"ani was not told: the event bad was rejected ({reason.partition(' ')[0]})")
    assert f"rejected: {reason}" in told
    assert letter["remedy"].split()[-1] in told
    assert f"kabar dead show {str(letter['id'])[:8]}" in told
    assert [one["reason"] for one in document["rejections"]] == [letter["reason"]]


async def test_an_event_of_the_directory_is_for_nobody(desk: Desk) -> None:
    """A fact about a person tells nobody anything."""
    await desk.world.know("ani")
    (row,) = await desk.world.until("SELECT id FROM events WHERE type = 'person.changed'")

    assert "it changed the people directory; nobody is told" in await desk.tell(row["id"], "ani")


async def test_an_event_the_ledger_does_not_know_is_an_error_with_advice(desk: Desk) -> None:
    """A mistyped id is never answered with an empty story."""
    answer = await desk.ask("no-such-event", "ani", "--json")

    assert (answer.code, answer.out) == (2, "")
    assert "no event 'no-such-event' is in the ledger" in answer.err


async def test_what_an_older_worker_planned_says_that_its_reasons_are_not_known(desk: Desk) -> None:
    """Nothing is made up for rows from before reasons were kept."""
    await desk.world.know("ani")
    event_id = await desk.settled(PAID)
    await desk.world.rows("UPDATE deliveries SET decided_by = NULL")
    await desk.world.rows("UPDATE events SET routes = NULL")
    await desk.world.rows("UPDATE notifications SET rule = NULL")

    told = await desk.tell(event_id, "ani")

    assert "its routes were not written down" in told
    assert "what decided was not written down" in told
    assert "route user told whom nobody wrote down: ani was in it" in told
