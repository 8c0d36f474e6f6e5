"""What the ledger keeps and refuses, asked of a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from schemas.catalogue import EventData, Lane, PersonId, Priority, Route
from schemas.events.directory import PersonRemoved
from worker.broker.publisher import Publisher
from worker.channels.base import Abilities
from worker.core.dead_letter import read_dead, revive
from worker.core.message import Event, RawMessage, event_key
from worker.core.outcome import Released, Sent, UnsurePolicy
from worker.core.plan import (
    Address,
    Decision,
    Plan,
    PlannedDelivery,
    PlannedNotification,
    Skip,
    delivery_id,
    notification_id,
)
from worker.ledger import dead_letters, deliveries
from worker.ledger.connection import Connection, Ledger, statement
from worker.ledger.deliveries import Leased, Settlement, Shown
from worker.ledger.directory import (
    ROLE_LIMIT,
    PersonChange,
    PersonRemoval,
    PreferenceChange,
    apply_changes,
    read_facts,
)
from worker.ledger.intake import Ready, record, still_queued
from worker.pipeline.settle import Tried
from worker.roles.announcer import Announcer
from worker.roles.settler import Settler

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
RESEND, HOLD = UnsurePolicy.RESEND, UnsurePolicy.HOLD


class Told(EventData, type="test.told", category="news", routes=(Route("user", Priority.NORMAL, "inbox email"),)):
    """News for one person."""

    user_id: PersonId


class Alarmed(EventData, type="test.alarmed", category="news", critical=True, routes=Told.info.routes):
    """News that must be heard."""

    user_id: PersonId


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    """The ledger as a process opens it."""
    opened = Ledger(database_url, connections=10)
    await opened.open()
    yield opened
    await opened.aclose()


def an_event(event_id: str, kind: type[EventData] = Told, person: str = "ani") -> Event:
    payload = kind.model_validate({"user_id": person})
    key = event_key("shop", event_id)
    return Event(key, event_id, "shop", kind.info, kind.info.type, NOW, {"user_id": person}, payload)


def decision(
    event_id: str = "e1",
    *channels: str,
    person: str = "ani",
    kind: type[EventData] = Told,
    fate: Plan | Skip | None = None,
    lane: Lane = Lane.NORMAL,
    limit: int = 3,
    policy: UnsurePolicy = RESEND,
) -> Decision:
    """One person is told, by e-mail unless other channels are named."""
    event = an_event(event_id, kind, person)
    notification = notification_id(event.key, person, "user")
    planned = tuple(
        PlannedDelivery(
            delivery_id(notification, channel, address), channel, address, fate or Plan(lane, limit, policy)
        )
        for channel in channels or ("email",)
        for address in (person if channel == "inbox" else f"{person}@x.test",)
    )
    expires_at = datetime.now(UTC) + HOUR
    return Decision(event, (PlannedNotification(notification, person, "user", expires_at, planned),))


async def write(ledger: Ledger, *decisions: Decision) -> list[UUID]:
    """Record decisions; answers the ids of their deliveries."""
    copies = {one.event.key: 1 for one in decisions}
    await ledger.persist(lambda: record(ledger, decisions, copies))
    return [
        delivery.id for one in decisions for notification in one.notifications for delivery in notification.deliveries
    ]


async def know(ledger: Ledger, person: str = "ani", **about: Any) -> None:
    about.setdefault("addresses", {"email": [f"{person}@x.test"]})
    about.setdefault("at", NOW)
    await apply_changes(ledger, [PersonChange(person, **about)])


async def row(ledger: Ledger, delivery: UUID) -> asyncpg.Record:
    (found,) = await ledger.fetch("SELECT * FROM deliveries WHERE id = $1", delivery)
    return found


async def state(ledger: Ledger, delivery: UUID) -> tuple[str, str]:
    found = await row(ledger, delivery)
    return found["state"], found["reason"]


async def alter(ledger: Ledger, change: str, *deliveries: UUID) -> None:
    """Move a delivery's clock, or whatever else a test needs at an end."""
    await ledger.fetch(f"UPDATE deliveries SET {change} WHERE id = ANY($1::uuid[])", deliveries)  # noqa: S608 - our own


async def a_lease(ledger: Ledger, **about: Any) -> Leased:
    """A delivery to ani that is ours."""
    await know(ledger)
    ids = await write(ledger, decision(**about))
    leased, _ = await deliveries.lease(ledger, ids, 7, 60)
    return leased[0]


async def hand_out(ledger: Ledger, channel: str = "email", lane: Lane = Lane.NORMAL) -> None:
    """Let the couriers come to the end of a queue: a mark that was put in comes back."""
    (mark,) = await deliveries.mark(ledger, [(channel, lane)])
    await deliveries.mark_reached(ledger, mark)


async def count(ledger: Ledger, table: str) -> int:
    (found,) = await ledger.fetch(f"SELECT count(*) FROM {table}")  # noqa: S608 - our own
    return int(found[0])


# Dispatch


async def test_what_is_recorded_twice_stands_once(ledger: Ledger) -> None:
    """A redelivered event meets its own rows, and is counted."""
    both = [decision("e1", "inbox", "email"), decision("e2")]

    first = await record(ledger, both, {one.event.key: 1 for one in both})
    second = await record(ledger, both[:1], {both[0].event.key: 2})

    assert first == []
    assert second == [both[0].event.key]
    assert [await count(ledger, table) for table in ("events", "notifications", "deliveries")] == [2, 2, 3]
    repeats = await ledger.fetch("SELECT id, repeats FROM events")
    assert {one["id"]: one["repeats"] for one in repeats} == {"e1": 2, "e2": 0}


async def test_a_plan_waits_and_a_skip_is_at_its_end(ledger: Ledger) -> None:
    """Every row is in an end state or has a time at which it is looked at again."""
    (planned,) = await write(ledger, decision("e1", lane=Lane.URGENT))
    (skipped,) = await write(ledger, decision("e2", fate=Skip("no_address", "why")))

    waiting, ended = await row(ledger, planned), await row(ledger, skipped)
    assert (waiting["state"], waiting["lane"], waiting["attempt"]) == ("queued", "urgent", 0)
    assert waiting["due_at"]
    assert (ended["state"], ended["reason"], ended["detail"], ended["due_at"]) == ("skipped", "no_address", "why", None)


async def test_what_decided_stands_with_what_was_decided(ledger: Ledger) -> None:
    """Why somebody was told, and on whose word each channel is used, is read later as it was then."""
    one = decision()
    (notification,) = one.notifications
    (delivery,) = notification.deliveries
    told = notification._replace(rule="role:admin", deliveries=(delivery._replace(decided_by="critical"),))

    await write(ledger, one._replace(notifications=(told,), routes="admins=role:admin"))

    (found,) = await ledger.fetch(
        "SELECT e.routes, n.rule, d.decided_by FROM deliveries d"
        " JOIN notifications n ON n.id = d.notification_id JOIN events e ON e.key = d.event_key"
    )
    assert tuple(found) == ("admins=role:admin", "role:admin", "critical")


async def test_an_event_that_comes_again_keeps_its_rows_whatever_changed_meanwhile(ledger: Ledger) -> None:
    """Preferences, roles and routes of a later moment do not reach back."""
    await write(ledger, decision("e1", "inbox", "email"))
    before = await ledger.fetch("SELECT * FROM deliveries ORDER BY id")

    await write(ledger, decision("e1", "email", "telegram", fate=Skip("preference")))
    await write(ledger, decision("e1", person="bo"))

    assert await ledger.fetch("SELECT * FROM deliveries ORDER BY id") == before
    assert await count(ledger, "notifications") == 1


async def test_two_intakes_at_once_record_an_event_once(ledger: Ledger, database_url: str) -> None:
    """Whatever order their batches are in."""
    other = Ledger(database_url)
    await other.open()
    decisions = [decision(f"e{number}", "inbox", "email") for number in range(30)]
    copies = {one.event.key: 1 for one in decisions}

    async def intake(mine: Ledger, seed: int) -> int:
        shuffled = random.Random(seed).sample(decisions, len(decisions))  # noqa: S311 - an order, no secret
        known = await mine.persist(lambda: record(mine, shuffled, copies))
        return len(shuffled) - len(known)

    new = await asyncio.gather(*(intake(mine, seed) for seed in range(3) for mine in (ledger, other)))
    await other.aclose()

    assert sum(new) == 30
    assert await count(ledger, "deliveries") == 60
    assert {one["repeats"] for one in await ledger.fetch("SELECT repeats FROM events")} == {5}


async def test_a_directory_event_keeps_no_payload(ledger: Ledger) -> None:
    """Addresses stand in the directory and nowhere else."""
    event = an_event("e1")
    fact = Event(
        event.key, "e1", "shop", PersonRemoved.info, "person.removed", NOW, {"person_id": "ani"},
        PersonRemoved(person_id="ani"),
    )  # fmt: skip

    await write(ledger, Decision(fact, (), "directory"))

    (found,) = await ledger.fetch("SELECT data, reason FROM events")
    assert (found["data"], found["reason"]) == ("{}", "directory")


async def test_what_still_waits_is_found_again_after_a_crash_before_the_publish(ledger: Ledger) -> None:
    """By event and by delivery, and only that."""
    await know(ledger)
    ids = await write(ledger, decision("e1", "inbox", "email", lane=Lane.BULK), decision("e2"))
    await deliveries.lease(ledger, ids[:1], 7, 60)

    assert await still_queued(ledger, [event_key("shop", "e1")]) == [Ready(ids[1], "email", Lane.BULK)]
    assert {one.id for one in await deliveries.queued_of(ledger, [*ids, uuid4()])} == set(ids[1:])


# Lease


async def test_a_lease_brings_all_that_rendering_needs(ledger: Ledger) -> None:
    """And counts the attempt."""
    await know(ledger, name="Ani", locale="id", time_zone="Asia/Jakarta")
    (email, inbox) = await write(ledger, decision("e1", "email", "inbox", policy=HOLD, lane=Lane.URGENT))

    leased, ended = await deliveries.lease(ledger, [email, inbox], 7, 60)

    found = {one.channel: one for one in leased}["email"]
    assert (found.id, found.token, found.attempt, found.attempt_limit) == (email, 7, 1, 3)
    assert (found.lane, found.on_unsure, found.address) == (Lane.URGENT, HOLD, "ani@x.test")
    assert (found.name, found.locale, found.time_zone) == ("Ani", "id", "Asia/Jakarta")
    assert (found.event_id, found.event_source, found.event_type) == ("e1", "shop", "test.told")
    assert (found.event_time, json.loads(found.data), found.route) == (NOW, {"user_id": "ani"}, "user")
    assert (len(leased), ended) == (2, [])


async def test_each_delivery_is_leased_once_however_many_ask(ledger: Ledger) -> None:
    """Eight couriers with the same jobs share the work, and nothing is sent twice."""
    await know(ledger)
    ids = await write(ledger, *(decision(f"e{number}") for number in range(64)))

    async def courier(token: int) -> list[UUID]:
        mine = random.Random(token).sample(ids, len(ids))  # noqa: S311 - an order, no secret
        leased, _ = await ledger.persist(lambda: deliveries.lease(ledger, mine, token, 60))
        return [one.id for one in leased]

    taken = await asyncio.gather(*(courier(token) for token in range(1, 9)))

    assert sorted(delivery for one in taken for delivery in one) == sorted(ids)
    assert {one["attempt"] for one in await ledger.fetch("SELECT attempt FROM deliveries")} == {1}


REMOVED = PersonRemoval("ani", NOW + HOUR)
MOVED = PersonChange("ani", NOW + HOUR, addresses={"email": ["new@x.test"]})


def wish(scope: str, channel: str, *, enabled: bool | None) -> PreferenceChange:
    return PreferenceChange("ani", NOW, scope, channel, enabled)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], ("leased", "")),
        ([REMOVED], ("skipped", "person_unknown")),
        ([MOVED], ("skipped", "address_gone")),
        ([wish("*", "*", enabled=False)], ("skipped", "preference")),
        ([wish("category:news", "email", enabled=False)], ("skipped", "preference")),
        ([wish("type:test.told", "*", enabled=False)], ("skipped", "preference")),
        ([wish("type:test.told", "*", enabled=False), wish("type:test.told", "email", enabled=True)], ("leased", "")),
        (
            [wish("type:test.told", "email", enabled=True), wish("category:news", "email", enabled=False)],
            ("leased", ""),
        ),
        ([wish("category:news", "*", enabled=True), wish("*", "email", enabled=False)], ("leased", "")),
        ([wish("category:news", "telegram", enabled=False)], ("leased", "")),
        ([wish("type:test.other", "*", enabled=False), wish("category:test", "*", enabled=False)], ("leased", "")),
    ],
)
async def test_what_changed_since_the_plan_is_seen_at_lease(
    ledger: Ledger, changes: list[PersonRemoval | PersonChange | PreferenceChange], expected: tuple[str, str]
) -> None:
    """Nothing is sent after an opt-out or a removal was committed; the row says why, and no attempt is counted."""
    await know(ledger)
    (delivery,) = await write(ledger, decision())
    await apply_changes(ledger, changes)

    leased, ended = await deliveries.lease(ledger, [delivery], 7, 60)

    assert await state(ledger, delivery) == expected
    assert (await row(ledger, delivery))["attempt"] == len(leased)
    assert [(one.state, one.reason, one.event_id) for one in ended] == ([] if leased else [(*expected, "e1")])


@pytest.mark.parametrize(
    ("channel", "critical", "expected"),
    [("email", False, ("skipped", "read")), ("email", True, ("leased", "")), ("inbox", False, ("leased", ""))],
)
async def test_what_was_read_meanwhile_is_not_sent(
    ledger: Ledger,
    channel: str,
    critical: bool,  # noqa: FBT001 - a parameter
    expected: tuple[str, str],
) -> None:
    """Nobody gets a late mail about what they have read; what is critical comes on every channel all the same."""
    await know(ledger)
    (delivery,) = await write(ledger, decision("e1", channel))
    await ledger.fetch("UPDATE notifications SET read_at = now(), critical = $1", critical)

    await deliveries.lease(ledger, [delivery], 7, 60)

    assert await state(ledger, delivery) == expected


async def test_what_expired_in_the_queue_is_not_sent(ledger: Ledger) -> None:
    """Before anything else is asked."""
    (delivery,) = await write(ledger, decision())
    await alter(ledger, "expires_at = now()", delivery)

    _, ended = await deliveries.lease(ledger, [delivery], 7, 60)

    assert [(one.state, one.reason) for one in ended] == [("expired", "expired")]


async def test_what_was_cancelled_in_the_queue_is_not_sent(ledger: Ledger) -> None:
    """Its job finds nothing to lease, and the row keeps what was said of it."""
    await know(ledger)
    (delivery,) = await write(ledger, decision())
    await alter(ledger, "state = 'cancelled', reason = 'withdrawn', due_at = NULL, finished_at = now()", delivery)

    assert await deliveries.lease(ledger, [delivery], 7, 60) == ([], [])
    assert await state(ledger, delivery) == ("cancelled", "withdrawn")


async def test_a_suppressed_address_is_seen_at_lease(ledger: Ledger) -> None:
    """Even for a critical event; preferences are not asked for that."""
    await know(ledger)
    await apply_changes(ledger, [wish("*", "*", enabled=False)])
    first, second = await write(ledger, decision("e1", kind=Alarmed), decision("e2", kind=Alarmed))

    (leased,), _ = await deliveries.lease(ledger, [first], 7, 60)
    await deliveries.settle(
        ledger, [Settlement(leased.id, 7, "refused", "gone", outcome="refused", suppresses=True)], []
    )
    await deliveries.lease(ledger, [second], 8, 60)

    assert await state(ledger, second) == ("skipped", "address_suppressed")


async def test_the_inbox_needs_no_address(ledger: Ledger) -> None:
    """The person is enough."""
    await know(ledger, addresses={})
    (delivery,) = await write(ledger, decision("e1", "inbox"))

    (leased,), _ = await deliveries.lease(ledger, [delivery], 7, 60)

    assert leased.id == delivery


async def test_a_second_job_for_the_same_delivery_finds_nothing(ledger: Ledger) -> None:
    """Neither while it is leased nor after it was sent."""
    leased = await a_lease(ledger)
    assert await deliveries.lease(ledger, [leased.id], 8, 60) == ([], [])

    await deliveries.settle(ledger, [Settlement(leased.id, 7, "sent")], [])

    assert await deliveries.lease(ledger, [leased.id, uuid4()], 9, 60) == ([], [])


async def test_work_that_collides_is_repeated_and_is_no_outage(ledger: Ledger) -> None:
    """Two couriers that want the same deliveries in another order: nobody is woken for that, and both get on."""
    ids = await write(ledger, decision("e1"), decision("e2"))
    both_hold_one = asyncio.Barrier(2)
    tries = 0

    async def courier(first: UUID, second: UUID) -> None:
        async def work(connection: Connection) -> None:
            nonlocal tries
            tries += 1
            await connection.execute("UPDATE deliveries SET detail = 'x' WHERE id = $1", first)
            if tries <= both_hold_one.parties:
                await both_hold_one.wait()
            await connection.execute("UPDATE deliveries SET detail = 'x' WHERE id = $1", second)

        await ledger.persist(lambda: ledger.transact(work))

    with capture_logs() as logs:
        await asyncio.gather(courier(*ids), courier(*reversed(ids)))

    assert (tries, logs, ledger.outage) == (3, [], "")


# Settle


async def test_an_outcome_is_settled_under_its_own_token_only(ledger: Ledger) -> None:
    """Whoever lost the lease cannot overrule whoever has it."""
    leased = await a_lease(ledger)

    assert await deliveries.settle(ledger, [Settlement(leased.id, 8, "sent")], []) == {}
    assert await state(ledger, leased.id) == ("leased", "")
    assert await deliveries.settle(ledger, [Settlement(leased.id, 7, "sent", reference="r1")], []) == {
        leased.id: "sent"
    }
    assert await deliveries.settle(ledger, [Settlement(leased.id, 7, "dead", "late", outcome="deferred")], []) == {}

    found = await row(ledger, leased.id)
    assert (found["state"], found["reference"], found["attempt"], found["due_at"]) == ("sent", "r1", 1, None)
    assert await count(ledger, "attempts") == 0


@pytest.mark.parametrize("policy", [RESEND, HOLD])
@pytest.mark.parametrize("woken", [False, True])
async def test_sent_after_the_lease_ran_out_is_the_truth(ledger: Ledger, policy: UnsurePolicy, *, woken: bool) -> None:
    """It saves a double: what is known to be sent is not sent again."""
    leased = await a_lease(ledger, policy=policy)
    await alter(ledger, "due_at = now()", leased.id)
    await deliveries.reap(ledger, 10)
    if woken:
        await deliveries.wake(ledger, 10)

    assert await deliveries.settle(ledger, [Settlement(leased.id, 7, "sent")], []) == {leased.id: "sent"}
    assert (await row(ledger, leased.id))["resends"] == 0
    assert await deliveries.lease(ledger, [leased.id], 8, 60) == ([], [])


@pytest.mark.parametrize("change", ["state = state", "state = 'waiting', reason = 'lease_ran_out', resends = 1"])
async def test_what_was_sent_reads_the_same_whatever_its_neighbours_came_to(ledger: Ledger, change: str) -> None:
    """A batch of nothing but sent messages has a statement of its own: it writes what the one for all writes."""
    ids = await write(ledger, decision("e1"), decision("e2"), decision("e3"))
    await know(ledger)
    await deliveries.lease(ledger, ids, 7, 60)
    await alter(ledger, change, *ids[:2])
    alone, beside_another = (
        Settlement(one, 7, "sent", reference="r1", template_version="en@0", provider="mail.test") for one in ids[:2]
    )
    another = Settlement(ids[2], 7, "waiting", "busy", delay_seconds=60, outcome="deferred")

    assert await deliveries.settle(ledger, [alone], []) == {ids[0]: "sent"}
    assert (await deliveries.settle(ledger, [beside_another, another], []))[ids[1]] == "sent"

    own = {"id", "notification_id", "event_key", "created_at", "due_at", "expires_at", "finished_at"}
    first, second = [
        {name: value for name, value in (await row(ledger, one)).items() if name not in own} for one in ids[:2]
    ]
    assert first == second
    assert (first["state"], first["reference"], first["provider"], first["resends"]) == ("sent", "r1", "mail.test", 0)


async def test_sent_after_the_lease_and_the_time_ran_out_is_the_truth_too(ledger: Ledger) -> None:
    """What went out in time is not reported as too late."""
    leased = await a_lease(ledger)
    await alter(ledger, "due_at = now(), expires_at = now()", leased.id)
    await deliveries.reap(ledger, 10)
    assert await state(ledger, leased.id) == ("expired", "lease_ran_out")

    assert await deliveries.settle(ledger, [Settlement(leased.id, 7, "sent")], []) == {leased.id: "sent"}


async def test_sent_after_the_last_lease_ran_out_takes_the_dead_letter_back(ledger: Ledger) -> None:
    """Nobody is asked to replay what in truth went out, and no resend is counted that was not needed."""
    leased = await a_lease(ledger)
    await alter(ledger, "due_at = now(), attempt_limit = 1", leased.id)
    await deliveries.reap(ledger, 10)
    assert await state(ledger, leased.id) == ("dead", "lease_ran_out")

    assert await deliveries.settle(ledger, [Settlement(leased.id, 7, "sent")], []) == {leased.id: "sent"}
    assert (await row(ledger, leased.id))["resends"] == 0
    (letter,) = await ledger.fetch("SELECT state FROM dead_letters")
    assert letter["state"] == "dropped"


async def test_sent_while_the_reaper_writes_the_dead_letter_takes_it_back_too(
    ledger: Ledger, database_url: str
) -> None:
    """The settlement waits for the reaper's row and cannot see its letter; none is left open all the same."""
    leased = await a_lease(ledger)
    await alter(ledger, "due_at = now(), attempt_limit = 1", leased.id)
    reaper = await asyncpg.connect(database_url)
    try:
        async with reaper.transaction():
            await reaper.fetch(statement("reap"), 10)
            settling = asyncio.create_task(deliveries.settle(ledger, [Settlement(leased.id, 7, "sent")], []))
            waits = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            while not await reaper.fetchval(waits):
                await asyncio.sleep(0.01)
        assert await settling == {leased.id: "sent"}
    finally:
        await reaper.close()

    assert await state(ledger, leased.id) == ("sent", "")
    assert [row["state"] for row in await ledger.fetch("SELECT state FROM dead_letters")] == ["dropped"]


async def test_any_other_late_outcome_changes_nothing(ledger: Ledger) -> None:
    """The reaper has decided; a deferral would only decide again."""
    leased = await a_lease(ledger)
    await alter(ledger, "due_at = now()", leased.id)
    await deliveries.reap(ledger, 10)
    before = await row(ledger, leased.id)

    for outcome, end in (("deferred", "waiting"), ("unsure", "dead"), ("refused", "refused"), ("released", "queued")):
        late = Settlement(leased.id, 7, end, "late", outcome=outcome, gives_back=True, suppresses=True)
        assert await deliveries.settle(ledger, [late], []) == {}

    assert await row(ledger, leased.id) == before
    assert await count(ledger, "attempts") == 1
    assert await count(ledger, "dead_letters") == 0


async def test_sent_under_a_lease_that_another_has_taken_over_changes_nothing(ledger: Ledger) -> None:
    """The newer lease says what becomes of it."""
    leased = await a_lease(ledger)
    await alter(ledger, "due_at = now()", leased.id)
    await deliveries.reap(ledger, 10)
    await deliveries.wake(ledger, 10)
    (again,), _ = await deliveries.lease(ledger, [leased.id], 8, 60)

    assert await deliveries.settle(ledger, [Settlement(leased.id, 7, "sent")], []) == {}
    assert again.attempt == 2
    assert await state(ledger, leased.id) == ("leased", "")


async def test_a_rate_limit_gives_the_attempt_back_and_a_deferral_does_not(ledger: Ledger) -> None:
    """Waiting for a provider is no fault of the message."""
    limited = await a_lease(ledger, event_id="e1")
    deferred = await a_lease(ledger, event_id="e2")

    await deliveries.settle(
        ledger,
        [
            Settlement(limited.id, 7, "waiting", "429", delay_seconds=30, gives_back=True, outcome="deferred"),
            Settlement(deferred.id, 7, "waiting", "4xx", "why", delay_seconds=30, outcome="deferred", duration_ms=5),
        ],
        [],
    )

    rows = [await row(ledger, one.id) for one in (limited, deferred)]
    assert [(one["state"], one["attempt"], one["reason"]) for one in rows] == [
        ("waiting", 0, "429"),
        ("waiting", 1, "4xx"),
    ]
    (wait,) = await ledger.fetch(
        "SELECT extract(epoch FROM due_at - now())::float FROM deliveries WHERE reason = '429'"
    )
    assert 25 < wait[0] <= 30
    tried = await ledger.fetch("SELECT * FROM attempts WHERE delivery_id = $1", deferred.id)
    assert [(one["attempt"], one["outcome"], one["reason"], one["detail"], one["duration_ms"]) for one in tried] == [
        (1, "deferred", "4xx", "why", 5)
    ]


async def test_what_was_not_tried_goes_back_as_it_was(ledger: Ledger) -> None:
    """A shutdown costs no attempt and leaves no trace of one."""
    leased = await a_lease(ledger)

    back = Settlement(leased.id, 7, "queued", "shutdown", gives_back=True, outcome="released")
    assert await deliveries.settle(ledger, [back], []) == {leased.id: "queued"}

    found = await row(ledger, leased.id)
    assert (found["state"], found["attempt"], found["finished_at"]) == ("queued", 0, None)
    assert await count(ledger, "attempts") == 0
    (again,), _ = await deliveries.lease(ledger, [leased.id], 8, 60)
    assert again.attempt == 1


async def test_what_goes_back_while_the_broker_is_away_holds_up_no_other_outcome(ledger: Ledger) -> None:
    """Its job is published once the broker is back; what was sent meanwhile is settled at once."""
    publisher = Publisher(["amqp://127.0.0.1:9"], lambda _: asyncio.sleep(0))
    settler = Settler(ledger, publisher, Announcer(publisher))
    running = asyncio.create_task(settler.run())
    given_back, sent = await a_lease(ledger, event_id="e1"), await a_lease(ledger, event_id="e2")
    abilities = Abilities((), 1, RESEND)

    for leased, outcome in ((given_back, Released("shutdown")), (sent, Sent())):
        is_settled = asyncio.Event()
        settler.add(Tried(leased, outcome, abilities, 0.5), is_settled.set)
        await asyncio.wait_for(is_settled.wait(), 10)

    assert await state(ledger, given_back.id) == ("queued", "shutdown")
    assert await state(ledger, sent.id) == ("sent", "")
    running.cancel()
    await asyncio.wait([running])


async def test_what_would_wait_beyond_its_expiry_expires_now(ledger: Ledger) -> None:
    """No row waits for a time at which it must not be sent any more."""
    leased = await a_lease(ledger)

    wait = Settlement(leased.id, 7, "waiting", "busy", delay_seconds=3700, outcome="deferred")
    assert await deliveries.settle(ledger, [wait], []) == {leased.id: "expired"}

    found = await row(ledger, leased.id)
    assert (found["due_at"], found["reason"]) == (None, "busy")
    assert found["finished_at"]


async def test_a_dead_delivery_has_a_letter_that_says_why(ledger: Ledger) -> None:
    """Found by its event, grouped by its fingerprint, with the provider's words."""
    leased = await a_lease(ledger)

    dead = Settlement(
        leased.id, 7, "dead", "malformed", "the provider's words", outcome="refused", fingerprint="f1",
        template_version="en v3",
    )  # fmt: skip
    await deliveries.settle(ledger, [dead], [])

    (letter,) = await dead_letters.list_open(ledger, 10)
    (whole,) = await dead_letters.find(ledger, str(letter["id"])[:8])
    assert (letter["kind"], letter["event_id"], letter["event_type"]) == ("delivery", "e1", "test.told")
    assert (letter["channel"], letter["stage"], letter["reason"]) == ("email", "settle", "malformed")
    assert (whole["delivery_id"], whole["remedy"]) == (leased.id, "the provider's words")
    assert (whole["fingerprint"], whole["template_version"], whole["kabar_version"]) == (
        "f1",
        "en v3",
        version("kabar"),
    )


async def test_a_replay_gives_a_dead_delivery_a_new_budget_once(ledger: Ledger) -> None:
    """And says so in the audit; a second replay of the same letter finds nothing dead."""
    leased = await a_lease(ledger)
    dead = Settlement(leased.id, 7, "dead", "malformed", outcome="refused", fingerprint="f1")
    await deliveries.settle(ledger, [dead], [])
    (letter,) = await ledger.fetch("SELECT * FROM dead_letters")

    first, second = [
        await dead_letters.revive_deliveries(
            ledger, [letter["id"]], attempts=5, channels=["email"], actor="me", detail=""
        )
        for _ in range(2)
    ]

    assert [(one["letter_id"], one["id"], one["lane"]) for one in first] == [(letter["id"], leased.id, "normal")]
    assert second == []
    assert (await row(ledger, leased.id))["attempt_limit"] == 6
    assert [one["action"] for one in await dead_letters.history(ledger, letter["id"])] == ["dead_letter.replayed"]


async def test_an_address_at_its_end_is_switched_off_alone(ledger: Ledger) -> None:
    """The person's other addresses, and other people with the same address, are not touched."""
    await know(ledger, "bo", addresses={"email": ["ani@x.test"]})
    leased = await a_lease(ledger)
    await know(ledger, addresses={"email": ["ani@x.test", "two@x.test"], "sms": ["ani@x.test"]}, at=NOW + HOUR)

    gone = Settlement(leased.id, 7, "refused", "mailbox_unknown", outcome="refused", suppresses=True)
    await deliveries.settle(ledger, [gone], [])

    off = await ledger.fetch(
        "SELECT person_id, channel, address, suppressed_reason FROM addresses WHERE suppressed_at IS NOT NULL"
    )
    assert [tuple(one) for one in off] == [("ani", "email", "ani@x.test", "mailbox_unknown")]


@pytest.mark.parametrize(
    ("end", "token", "is_shown"),
    [("sent", 7, True), ("sent", 8, False), ("waiting", 7, False), ("refused", 7, False), ("unsure", 7, False)],
)
async def test_the_inbox_shows_what_was_sent_and_nothing_else(
    ledger: Ledger, end: str, token: int, *, is_shown: bool
) -> None:
    """The row appears in the very moment in which the delivery is sent."""
    await know(ledger)
    (delivery,) = await write(ledger, decision("e1", "inbox"))
    (leased,), _ = await deliveries.lease(ledger, [delivery], 7, 60)

    trimmings = '{"icon": "🏅", "image": "https://x.test/badge.png"}'
    shown = Shown(delivery, leased.notification_id, "Title", "Body", "https://x.test", "Open", trimmings)
    outcome = "sent" if end == "sent" else "deferred"
    await deliveries.settle(ledger, [Settlement(delivery, token, end, "r", outcome=outcome)], [shown])

    (found,) = await ledger.fetch(
        "SELECT title, body, link, action, trimmings, shown_at IS NOT NULL AS shown FROM notifications"
    )
    texts = ("Title", "Body", "https://x.test", "Open", trimmings) if is_shown else (None,) * 5
    assert tuple(found) == (*texts, is_shown)


# Timer


@pytest.fixture(params=["fresh", "analysed"])
def is_analysed(request: pytest.FixtureRequest) -> bool:
    """The planner chooses otherwise before it has counted the rows."""
    return bool(request.param == "analysed")


async def test_only_what_is_due_is_woken_and_no_more_than_asked(ledger: Ledger, *, is_analysed: bool) -> None:
    """Whatever the planner makes of it."""
    ids = await write(ledger, *(decision(f"e{number}") for number in range(40)))
    await alter(ledger, "state = 'waiting', due_at = now() - interval '1 s'", *ids[:30])
    await alter(ledger, "state = 'waiting', due_at = now() + interval '1 h'", *ids[30:])
    if is_analysed:
        await ledger.fetch("ANALYZE")

    first = await deliveries.wake(ledger, 10)
    rest = await deliveries.wake(ledger, 500)

    assert (len(first), len(rest)) == (10, 20)
    assert {one.id for one in (*first, *rest)} == set(ids[:30])
    assert await deliveries.wake(ledger, 500) == []


async def test_many_timers_at_once_wake_reap_and_heal_each_row_once(ledger: Ledger) -> None:
    """No leader is needed: rows that another has taken are passed over."""
    ids = await write(ledger, *(decision(f"e{number}") for number in range(90)))
    await alter(ledger, "state = 'waiting', due_at = now()", *ids[:30])
    await alter(ledger, "state = 'leased', attempt = 1, token = 1, due_at = now()", *ids[30:60])
    await alter(ledger, "due_at = now()", *ids[60:])
    await hand_out(ledger)

    async def timer() -> tuple[list[UUID], list[UUID], list[UUID]]:
        woken, reaped, healed = [], [], []
        for _ in range(4):
            reaped += [one.delivery_id for one in await deliveries.reap(ledger, 12)]
            healed += [one.id for one in await deliveries.overdue(ledger, "email", Lane.NORMAL, 12)]
            woken += [one.id for one in await deliveries.wake(ledger, 12)]
        return woken, reaped, healed

    timers = await asyncio.gather(*(timer() for _ in range(5)))

    reaped = Counter(delivery for _, those, _ in timers for delivery in those)
    assert reaped == dict.fromkeys(ids[30:60], 1)
    healed = Counter(delivery for _, _, those in timers for delivery in those)
    assert healed == dict.fromkeys(ids[60:], 1)
    woken = Counter(delivery for those, _, _ in timers for delivery in those)
    assert woken == dict.fromkeys(ids[:60], 1)
    assert await count(ledger, "attempts") == 30


@pytest.mark.parametrize(
    ("policy", "attempt", "expires", "expected", "resends"),
    [
        (RESEND, 1, "now() + interval '1 h'", "waiting", 1),
        (RESEND, 3, "now() + interval '1 h'", "dead", 0),
        (RESEND, 1, "now()", "expired", 0),
        (HOLD, 1, "now() + interval '1 h'", "unsure", 0),
        (HOLD, 3, "now()", "unsure", 0),
    ],
)
async def test_a_lease_that_ran_out_is_resolved_by_policy(
    ledger: Ledger, policy: UnsurePolicy, attempt: int, expires: str, expected: str, resends: int
) -> None:
    """Never silently ready again: it is sent again and counted, held, or at its end."""
    leased = await a_lease(ledger, policy=policy)
    await alter(ledger, f"due_at = now(), attempt = {attempt}, expires_at = {expires}", leased.id)

    (ended,) = await deliveries.reap(ledger, 10)

    found = await row(ledger, leased.id)
    assert (found["state"], found["reason"], found["resends"]) == (expected, "lease_ran_out", resends)
    assert (ended.state, ended.delivery_id, ended.event_id, ended.attempt) == (expected, leased.id, "e1", attempt)
    tried = await ledger.fetch("SELECT attempt, outcome, reason FROM attempts")
    assert [tuple(one) for one in tried] == [(attempt, "unsure", "lease_ran_out")]
    assert await count(ledger, "dead_letters") == (expected == "dead")


async def test_a_lease_that_still_runs_is_left_alone(ledger: Ledger) -> None:
    """Its courier may be sending."""
    leased = await a_lease(ledger)

    assert await deliveries.reap(ledger, 10) == []
    assert await state(ledger, leased.id) == ("leased", "")


# The directory


async def person(ledger: Ledger, person_id: str = "ani") -> asyncpg.Record:
    (found,) = await ledger.fetch(statement("person_find"), person_id)
    return found


async def addresses(ledger: Ledger, person_id: str = "ani") -> list[tuple[str, str, str]]:
    return [tuple(one) for one in (await person(ledger, person_id))["addresses"]]


async def test_only_what_is_given_of_a_person_changes(ledger: Ledger) -> None:
    """A service that knows the locale need not know the name."""
    await know(ledger, name="Ani", locale="id", time_zone="Asia/Jakarta", roles=["admin"])
    await apply_changes(ledger, [PersonChange("ani", NOW + HOUR, locale="en")])
    await apply_changes(ledger, [PersonChange("ani", NOW + 2 * HOUR, roles=[])])

    found = await person(ledger)
    assert (found["name"], found["locale"], found["time_zone"]) == ("Ani", "en", "Asia/Jakarta")
    assert (found["roles"], await addresses(ledger)) == ([], [("email", "ani@x.test", "")])


async def test_an_older_change_does_not_undo_a_newer_one(ledger: Ledger) -> None:
    """The producer's time counts, not the order of arrival; the same change twice is one."""
    newer = PersonChange("ani", NOW + HOUR, name="New", addresses={"email": ["new@x.test"]})
    older = PersonChange("ani", NOW, name="Old", roles=["admin"], addresses={"email": ["old@x.test"], "sms": ["1"]})

    await apply_changes(ledger, [newer, older, newer])

    found = await person(ledger)
    assert (found["name"], found["roles"], await addresses(ledger)) == ("New", [], [("email", "new@x.test", "")])


async def test_a_channels_addresses_are_given_whole_and_in_order(ledger: Ledger) -> None:
    """Other channels keep theirs; an empty list takes all of a channel away; a repeated one counts once."""
    await know(ledger, addresses={"email": ["b@x.test", "a@x.test", "b@x.test"], "sms": ["1"], "slack": ["s"]})
    assert await addresses(ledger) == [
        ("email", "b@x.test", ""), ("email", "a@x.test", ""), ("slack", "s", ""), ("sms", "1", ""),
    ]  # fmt: skip

    await apply_changes(ledger, [PersonChange("ani", NOW + HOUR, addresses={"email": ["a@x.test"], "sms": []})])

    assert await addresses(ledger) == [("email", "a@x.test", ""), ("slack", "s", "")]


async def test_an_address_that_is_given_again_is_on_again(ledger: Ledger) -> None:
    """Whoever gives it says that it works."""
    await know(ledger)
    await ledger.fetch("UPDATE addresses SET suppressed_reason = 'gone', suppressed_at = now()")
    await apply_changes(ledger, [PersonChange("ani", NOW + HOUR, name="Ani")])
    assert await addresses(ledger) == [("email", "ani@x.test", "gone")]

    await apply_changes(ledger, [PersonChange("ani", NOW + 2 * HOUR, addresses={"email": ["ani@x.test"]})])

    assert await addresses(ledger) == [("email", "ani@x.test", "")]


async def test_two_intakes_that_change_one_person_at_once_leave_the_newer_list(
    ledger: Ledger, database_url: str
) -> None:
    """And not both lists together."""
    await know(ledger)
    other = Ledger(database_url)
    await other.open()

    async def change(mine: Ledger, number: int) -> None:
        given = {"email": [f"{number}@x.test"]}
        await mine.persist(lambda: apply_changes(mine, [PersonChange("ani", NOW + number * HOUR, addresses=given)]))

    for number in range(1, 60, 2):
        await asyncio.gather(change(ledger, number), change(other, number + 1))
        assert await addresses(ledger) == [("email", f"{number + 1}@x.test", "")]
    await other.aclose()


async def test_a_removed_person_stays_removed_until_a_newer_change(ledger: Ledger) -> None:
    """With all addresses and preferences; an older change that arrives late does not bring them back."""
    await know(ledger, name="Ani", roles=["admin"])
    await apply_changes(ledger, [wish("*", "email", enabled=False), PersonRemoval("ani", NOW + HOUR)])
    await apply_changes(ledger, [PersonChange("ani", NOW, name="Late", addresses={"email": ["late@x.test"]})])

    found = await person(ledger)
    assert found["removed_at"]
    assert (found["name"], found["roles"], found["addresses"], found["preferences"]) == (None, [], [], [])
    assert (await read_facts(ledger, ["ani"], ["admin"])).people == {}

    await apply_changes(ledger, [PersonChange("ani", NOW + 2 * HOUR, name="Back")])
    facts = await read_facts(ledger, ["ani"], [])
    assert facts.people["ani"].addresses == ()


async def test_a_removal_that_comes_first_holds_against_the_older_change(ledger: Ledger) -> None:
    """Two intakes may handle them in any order."""
    await apply_changes(ledger, [PersonRemoval("ani", NOW + HOUR), PersonChange("ani", NOW, name="Old")])
    assert (await person(ledger))["removed_at"]

    await apply_changes(ledger, [PersonChange("bo", NOW + HOUR, name="New"), PersonRemoval("bo", NOW)])
    assert (await person(ledger, "bo"))["removed_at"] is None


async def test_preferences_are_set_changed_and_forgotten_in_the_order_of_their_times(ledger: Ledger) -> None:
    """One opinion each for a scope and a channel."""
    await know(ledger)

    def at(hours: int, *, enabled: bool | None) -> PreferenceChange:
        return PreferenceChange("ani", NOW + hours * HOUR, "*", "email", enabled)

    async def wishes() -> list[list[str]]:
        return [list(one) for one in (await person(ledger))["preferences"]]

    await apply_changes(ledger, [at(2, enabled=False), at(1, enabled=True), at(0, enabled=None)])
    assert await wishes() == [["*", "email", "off"]]

    await apply_changes(ledger, [at(3, enabled=True), wish("category:news", "email", enabled=False)])
    assert await wishes() == [["*", "email", "on"], ["category:news", "email", "off"]]

    await apply_changes(ledger, [at(4, enabled=None)])
    assert await wishes() == [["category:news", "email", "off"]]


async def test_a_wish_from_before_a_removal_does_not_outlive_it(ledger: Ledger) -> None:
    """Of somebody who is gone nothing is kept, in whatever order it arrives; one who comes back may wish again."""
    await know(ledger)
    await apply_changes(ledger, [PersonRemoval("ani", NOW + HOUR), wish("*", "email", enabled=False)])
    assert await count(ledger, "preferences") == 0

    await know(ledger, at=NOW + 2 * HOUR)
    await apply_changes(ledger, [wish("*", "email", enabled=False)])
    assert await count(ledger, "preferences") == 1


async def test_facts_are_those_of_the_people_named_and_of_the_roles_members(ledger: Ledger) -> None:
    """Each once, with what deciding needs; those removed or unknown are not among them."""
    await know(ledger, "ani", roles=["vip", "admin"])
    await know(ledger, "bo", roles=["vip"])
    await know(ledger, "cy", roles=["other"])
    await apply_changes(ledger, [wish("*", "email", enabled=False), PersonRemoval("gone", NOW)])

    facts = await read_facts(ledger, ["cy", "gone", "nobody"], ["vip", "admin"])

    assert facts.people.keys() == {"ani", "bo", "cy"}
    assert facts.people["ani"].addresses == (Address("email", "ani@x.test"),)
    assert facts.people["ani"].preferences == {("*", "email"): False}
    assert facts.people["ani"].roles == {"vip", "admin"}
    assert facts.crowded == frozenset()


async def test_a_role_with_too_many_members_is_named_and_not_read_by_half(ledger: Ledger) -> None:
    """A smaller role beside it is read whole."""
    await ledger.fetch(
        "INSERT INTO people (id, roles, changed_at)"
        " SELECT 'p' || n, ARRAY['everybody', 'r' || n % 2], now() FROM generate_series(0, $1::int) AS n",
        ROLE_LIMIT,
    )

    facts = await read_facts(ledger, [], ["everybody", "r1"])

    assert facts.crowded == {"everybody"}
    assert sum("r1" in one.roles for one in facts.people.values()) == ROLE_LIMIT // 2


# Dead letters of events


async def test_the_oddest_message_is_kept_and_comes_back_as_it_was(ledger: Ledger) -> None:
    """NUL in headers and body, bytes that are no text; arriving again it is the same letter, open and counted."""
    odd = RawMessage(
        b"\x00\xff", "a.b", "x/\x00y", {"nul": "a\x00b", "raw": b"\xff", "\x00": [b"\x00"]}, "i\x00d", NOW, "a"
    )

    for _ in range(3):
        await dead_letters.bury(ledger, [read_dead(odd), read_dead(odd)], "event")
    (found,) = await ledger.fetch("SELECT * FROM dead_letters")

    assert (found["arrivals"], found["state"]) == (3, "open")
    assert revive(found["body"], found["properties"], found["routing_key"]) == odd


# The table itself


@pytest.mark.parametrize(
    "change",
    [
        "state = 'lost'",
        "due_at = NULL",
        "finished_at = now()",
        "state = 'sent'",
        "state = 'sent', due_at = NULL",
        "state = 'sent', finished_at = now()",
        "state = 'waiting', due_at = NULL, finished_at = now()",
    ],
)
async def test_no_row_is_without_an_end_and_without_a_time(ledger: Ledger, change: str) -> None:
    """The database itself refuses a row that nobody would look at again."""
    ids = await write(ledger, decision())

    with pytest.raises(asyncpg.CheckViolationError):
        await alter(ledger, change, *ids)


HISTORY = """
INSERT INTO people (id, name, roles, changed_at)
SELECT 'p' || n, 'P', ARRAY['r' || n % 500], now() FROM generate_series(1, 5000) n;
INSERT INTO addresses (person_id, channel, address)
SELECT 'p' || n, 'email', 'p' || n || '@x.test' FROM generate_series(1, 5000) n;
INSERT INTO preferences SELECT 'p' || n, '*', 'sms', true, now() FROM generate_series(1, 5000) n;
INSERT INTO events (key, source, id, type, time, version, data, extensions, reason)
SELECT md5('e' || n)::uuid, 's', 'e' || n, 't', now(), 1, '{}', '{}', '' FROM generate_series(1, 10000) n;
INSERT INTO notifications (id, event_key, person_id, route, category, critical, expires_at)
SELECT md5('n' || n)::uuid, md5('e' || n)::uuid, 'p' || n % 5000, 'user', 'news', false, now()
FROM generate_series(1, 10000) n;
INSERT INTO deliveries (id, notification_id, event_key, person_id, channel, address, lane, state, attempt_limit,
                        on_unsure, expires_at, finished_at)
SELECT md5('d' || n)::uuid, md5('n' || n % 10000)::uuid, md5('e' || n % 10000)::uuid, 'p' || n % 5000, 'email',
       'p@x.test', 'normal', 'sent', 3, 'resend', now(), now() FROM generate_series(1, 50000) n;
INSERT INTO dead_letters (id, kind, event_type, stage, reason, fingerprint, state)
SELECT md5('l' || n)::uuid, 'event', 't', 's', 'r', 'f', 'dropped' FROM generate_series(1, 5000) n;
"""
"""50,000 finished deliveries and what belongs to them."""
HOT = (
    "dispatch", "still_queued", "facts", "lease", "settle", "wake", "reap", "overdue", "queued_of", "gauges",
    "mark", "mark_reached",
    "person_changed", "person_removed", "preference_changed", "bury", "backlog", "expire", "paces_swept",
    "accounts_look", "account_reserve", "account_open", "account_claim", "account_probed", "account_close",
)  # fmt: skip
BY_STATE = {"wake", "reap", "overdue", "mark", "expire", "gauges", "backlog"}
"""Those that ask for what is in a state, and so read an index of it. All others name the deliveries they want: in a
rush hour such an index holds a million, of which the statistics of a quiet one know nothing."""


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def walks_all(node: dict[str, Any], partial: Sequence[str]) -> bool:
    """A scan of a whole table, or of a whole index that holds every row."""
    kind = node["Node Type"]
    if kind == "Seq Scan":
        return True
    return "Index" in kind and "Index Name" in node and "Index Cond" not in node and node["Index Name"] not in partial


async def test_hot_statements_read_by_index_what_they_need_however_long_the_history(database_url: str) -> None:
    """The cost of a delivery does not grow with what was delivered before, with fresh statistics or without."""
    settings = {"enable_seqscan": "off", "jit": "off", "plan_cache_mode": "force_generic_plan"}
    connection = await asyncpg.connect(database_url, server_settings=settings)
    await connection.execute(HISTORY)
    indexes = await connection.fetch("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'")
    partial = [one["indexname"] for one in indexes if " WHERE " in one["indexdef"]]

    found: dict[str, list[str]] = {}
    for analysed in (False, True):
        if analysed:
            await connection.execute("ANALYZE")
        for name in HOT:
            query = statement(name)
            arguments = ", ".join(["NULL"] * max((int(number) for number in re.findall(r"\$(\d+)", query)), default=0))
            await connection.execute(f"PREPARE hot AS {query}")
            explain = (
                f"EXPLAIN (FORMAT JSON) EXECUTE hot({arguments})" if arguments else "EXPLAIN (FORMAT JSON) EXECUTE hot"
            )
            (plan,) = json.loads(await connection.fetchval(explain))
            await connection.execute("DEALLOCATE hot")
            few = [one for one in partial if name in BY_STATE or not one.startswith("deliveries_")]
            bad = [f"{one['Node Type']} on {one.get('Relation Name', one.get('Index Name'))}"
                   for one in nodes(plan["Plan"]) if walks_all(one, few)]  # fmt: skip
            if bad:
                found[f"{name} ({'analysed' if analysed else 'fresh'})"] = bad
    await connection.close()

    assert found == {}


async def test_a_day_s_work_scans_no_table(ledger: Ledger, database_url: str) -> None:
    """Counted by PostgreSQL itself over every stage, with the plans that the pool's own connections make."""
    for fill in HISTORY.split(";\n")[:-1]:
        await ledger.fetch(fill)
    await ledger.fetch("ANALYZE")
    await ledger.fetch("SELECT pg_stat_reset()")

    for number in range(8):  # more than five: from then on the server may use a plan for any arguments
        await know(ledger, at=NOW + number * HOUR)
        ids = await write(ledger, *(decision(f"w{number}.{part}", "inbox", "email") for part in range(8)))
        await read_facts(ledger, ["ani", "p7"], ["r7"])
        leased, _ = await ledger.persist(lambda ids=ids: deliveries.lease(ledger, ids, 7, 60))  # type: ignore[misc]
        ends = [Settlement(one.id, 7, "waiting", "busy", outcome="deferred") for one in leased]
        await deliveries.settle(ledger, ends, [])
        await deliveries.wake(ledger, 100)
        await alter(ledger, "state = 'queued', due_at = now()", *ids)
        await hand_out(ledger)
        await deliveries.overdue(ledger, "email", Lane.NORMAL, 100)
        await deliveries.reap(ledger, 100)
        await deliveries.queued_of(ledger, ids)
        await still_queued(ledger, [event_key("shop", f"w{number}.1")])
    await ledger.aclose()

    connection = await asyncpg.connect(database_url)
    scanned = await connection.fetch("SELECT relname, seq_scan FROM pg_stat_user_tables WHERE seq_scan > 0")
    used = await connection.fetchval("SELECT sum(idx_scan) FROM pg_stat_user_tables")
    await connection.close()
    assert [tuple(one) for one in scanned] == []
    assert used > 100
