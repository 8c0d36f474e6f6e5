"""`kabar audit`: a healthy ledger passes, and every kind of corruption is found and named."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import aio_pika
import pytest

from schemas.events.billing import PaymentCompleted
from tests.acceptance.world import a_world
from tests.integration.command_line import environment_of, kabar
from worker.commands.audit_work import PROMISES
from worker.ledger.audit import Findings, audit
from worker.ledger.connection import Ledger

HEALTHY = """
INSERT INTO people (id, changed_at) VALUES ('ani', now());
INSERT INTO addresses (person_id, channel, address) VALUES ('ani', 'email', 'a@x.test');
INSERT INTO events (key, source, id, type, time, version, data, extensions, reason)
SELECT md5('e' || n)::uuid, 's', 'e' || n, 't', now(), 1, '{}', '{}', CASE n WHEN 10 THEN 'audience_empty' ELSE '' END
FROM generate_series(1, 10) n;
INSERT INTO notifications (id, event_key, person_id, route, category, critical, expires_at, shown_at)
SELECT md5('n' || n)::uuid, md5('e' || n)::uuid, 'ani', 'user', 'news', false, now() + interval '1 day', now()
FROM generate_series(1, 9) n;
INSERT INTO deliveries (id, notification_id, event_key, person_id, channel, address, lane, state, reason, attempt,
                        attempt_limit, on_unsure, resends, due_at, expires_at, finished_at)
SELECT md5('i' || n)::uuid, md5('n' || n)::uuid, md5('e' || n)::uuid, 'ani', 'inbox', 'ani', 'normal', 'sent', '', 1, 3,
       'resend', 0, NULL, now() + interval '1 day', now()
FROM generate_series(1, 9) n;
INSERT INTO deliveries (id, notification_id, event_key, person_id, channel, address, lane, state, reason, attempt,
                        attempt_limit, on_unsure, resends, due_at, expires_at, finished_at)
SELECT md5('d' || n)::uuid, md5('n' || n)::uuid, md5('e' || n)::uuid, 'ani', 'email', 'a@x.test', 'normal', state,
       reason, attempt, 3, policy, resends, CASE WHEN due THEN now() + interval '1 min' END, now() + interval '1 day',
       CASE WHEN NOT due THEN now() END
FROM (VALUES (1, 'sent', '', 1, 'resend', 0, false), (2, 'sent', '', 2, 'resend', 1, false),
             (3, 'dead', 'busy', 3, 'hold', 0, false), (4, 'waiting', 'busy', 1, 'hold', 0, true),
             (5, 'leased', '', 2, 'hold', 0, true), (6, 'queued', '', 0, 'hold', 0, true),
             (7, 'skipped', 'preference', 0, 'hold', 0, false), (8, 'unsure', 'lease_ran_out', 1, 'hold', 0, false),
             (9, 'sent', 'said_by_operator', 1, 'hold', 0, false))
     AS v (n, state, reason, attempt, policy, resends, due);
INSERT INTO attempts (delivery_id, attempt, outcome, reason, detail)
SELECT md5('d' || n)::uuid, attempt, outcome, 'r', ''
FROM (VALUES (2, 1, 'unsure'), (3, 1, 'deferred'), (3, 2, 'deferred'), (3, 3, 'deferred'), (4, 1, 'deferred'),
             (5, 1, 'deferred'), (8, 1, 'unsure'), (9, 1, 'unsure')) AS v (n, attempt, outcome);
INSERT INTO dead_letters (id, kind, delivery_id, event_id, event_type, stage, reason, fingerprint)
VALUES (md5('l3')::uuid, 'delivery', md5('d3')::uuid, 'e3', 't', 'settle', 'busy', 'f')
"""
"""One event of every fate, as workers would leave it."""
CORRUPTIONS = [
    ("UPDATE events SET reason = '' WHERE id = 'e10'", "event_ends", "e10"),
    ("UPDATE events SET reason = 'audience_empty' WHERE id = 'e1'", "event_ends", "e1"),
    ("DELETE FROM deliveries WHERE notification_id = md5('n7')::uuid", "notification_ends", "n7"),
    (
        ("INSERT INTO deliveries"
        " SELECT (jsonb_populate_record(d, '{\"id\": \"00000000-0000-0000-0000-000000000001\"}')).*"
        " FROM deliveries d WHERE id = md5('d7')::uuid"),
        "told_once", "d7",
    ),
    (
        "UPDATE deliveries SET notification_id = md5('n2')::uuid, channel = 'sms' WHERE id = md5('d1')::uuid",
        "rows_agree", "d1",
    ),
    ("UPDATE deliveries SET notification_id = md5('x')::uuid WHERE id = md5('d1')::uuid", "rows_agree", "d1"),
    ("UPDATE deliveries SET event_key = md5('x')::uuid WHERE id = md5('d7')::uuid", "no_orphans", "d7"),
    ("INSERT INTO attempts SELECT md5('x')::uuid, 1, now(), 'deferred', 'r', ''", "no_orphans", "x"),
    (
        ("INSERT INTO notifications (id, event_key, person_id, route, category, critical, expires_at)"
        " VALUES (md5('y')::uuid, md5('x')::uuid, 'ani', 'user', 'news', false, now())"),
        "no_orphans", "y",
    ),
    ("UPDATE deliveries SET due_at = now() - interval '1 hour' WHERE id = md5('d5')::uuid", "leases_end", "d5"),
    ("UPDATE deliveries SET due_at = now() - interval '1 hour' WHERE id = md5('d4')::uuid", "waiting_ends", "d4"),
    (
        ("INSERT INTO fan_outs (event_key, lane, expires_at, due_at)"
        " VALUES (md5('e1')::uuid, 'bulk', now(), now() - interval '1 hour')"),
        "waiting_ends", "e1",
    ),
    ("UPDATE deliveries SET attempt_limit = 2 WHERE id = md5('d3')::uuid", "attempt_limit", "d3"),
    ("UPDATE deliveries SET reason = '' WHERE id = md5('d7')::uuid", "has_reason", "d7"),
    ("DELETE FROM attempts WHERE delivery_id = md5('d4')::uuid", "attempts_kept", "d4"),
    ("INSERT INTO attempts SELECT md5('d1')::uuid, 2, now(), 'deferred', 'r', ''", "attempts_kept", "d1"),
    ("UPDATE deliveries SET resends = 2 WHERE id = md5('d2')::uuid", "resends_counted", "d2"),
    ("UPDATE deliveries SET resends = 0 WHERE id = md5('d2')::uuid", "resends_counted", "d2"),
    ("UPDATE deliveries SET resends = -1 WHERE id = md5('d1')::uuid", "resends_counted", "d1"),
    ("UPDATE deliveries SET on_unsure = 'hold' WHERE id = md5('d2')::uuid", "resends_counted", "d2"),
    ("UPDATE deliveries SET expires_at = now() - interval '1 hour' WHERE id = md5('d1')::uuid", "not_too_late", "d1"),
    (
        ("WITH off AS (UPDATE addresses SET suppressed_at = now() - interval '1 hour') UPDATE deliveries"
        " SET finished_at = now() - interval '2 hours' WHERE id = md5('d2')::uuid"),
        "not_suppressed", "d1",
    ),
    ("UPDATE notifications SET shown_at = NULL WHERE id = md5('n1')::uuid", "inbox_shows", "n1"),
    ("UPDATE deliveries SET state = 'skipped', reason = 'r' WHERE id = md5('i1')::uuid", "inbox_shows", "n1"),
    ("UPDATE dead_letters SET state = 'replayed', resolved_at = now()", "dead_has_letter", "d3"),
    (
        ("INSERT INTO dead_letters (id, kind, delivery_id, event_type, stage, reason, fingerprint)"
        " VALUES (md5('z')::uuid, 'delivery', md5('d1')::uuid, 't', 'settle', 'r', 'f')"),
        "letter_has_dead", "z",
    ),
    (
        ("INSERT INTO dead_letters (id, kind, event_id, event_type, stage, reason, fingerprint, state, resolved_at)"
        " VALUES (md5('z')::uuid, 'event', 'gone', 't', 'accept', 'r', 'f', 'replayed', now() - interval '1 hour')"),
        "replay_arrives", "z",
    ),
]  # fmt: skip
"""What is done to the healthy ledger, the check that must find it, and the row that it must name."""


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    """A ledger in which all is as it should be."""
    opened = Ledger(database_url)
    await opened.open()
    for fill in HEALTHY.split(";\n"):
        await opened.fetch(fill)
    yield opened
    await opened.aclose()


def broken(findings: Findings) -> dict[str, int]:
    return {check: number for check, number in findings.broken.items() if number}


async def row_id(ledger: Ledger, name: str) -> str:
    (row,) = await ledger.fetch("SELECT md5($1::text)::uuid::text AS id", name)
    return str(row["id"])


async def test_a_healthy_ledger_passes_every_check(ledger: Ledger) -> None:
    """Nothing is called broken that workers leave behind in their day's work."""
    findings = await audit(ledger, None, 20)

    assert broken(findings) == {}
    assert findings.looked_at["event_ends"] == 10
    assert findings.looked_at["attempts_kept"] == 18
    assert findings.looked_at["no_orphans"] == 9 + 18 + 8


@pytest.mark.parametrize(("corruption", "check", "row"), CORRUPTIONS)
async def test_every_corruption_is_found_and_its_row_named(
    ledger: Ledger, corruption: str, check: str, row: str
) -> None:
    """What breaks a promise is told by the row that breaks it."""
    await ledger.fetch(corruption)

    findings = await audit(ledger, None, 20)

    assert check in broken(findings), findings.flaws
    assert await row_id(ledger, row) in [flaw.id for flaw in findings.flaws[check]]
    assert check in PROMISES


def test_every_promise_is_broken_once_to_see_that_it_is_found() -> None:
    """No check is added that nobody has seen fail; those of the broker's queues are tried on a broker, below."""
    planted = {check for _, check, _ in CORRUPTIONS}

    assert planted == PROMISES.keys() - {"queued_moves", "queues", "consumers"}


async def test_a_person_who_is_gone_is_sent_nothing_more(ledger: Ledger) -> None:
    """A removal that was committed before a send is a promise broken; what went out before it is not."""
    await ledger.fetch("UPDATE people SET removed_at = now() - interval '1 hour'")
    await ledger.fetch("UPDATE deliveries SET finished_at = now() - interval '2 hours' WHERE id <> md5('d1')::uuid"
                       " AND finished_at IS NOT NULL")  # fmt: skip

    findings = await audit(ledger, None, 20)

    assert [flaw.id for flaw in findings.flaws["not_suppressed"]] == [await row_id(ledger, "d1")]


async def test_an_operators_word_allows_what_policy_does_not(ledger: Ledger) -> None:
    """A held message that somebody sent again is no breach, for the audit says who."""
    await ledger.fetch("UPDATE deliveries SET on_unsure = 'hold' WHERE id = md5('d2')::uuid")
    await ledger.fetch(
        "INSERT INTO audit (actor, action, subject) VALUES ('eve', 'delivery.resent', md5('d2')::uuid::text)"
    )

    assert broken(await audit(ledger, None, 20)) == {}


async def test_only_what_was_received_since_is_looked_at(ledger: Ledger) -> None:
    """A nightly audit costs the same whatever lies behind it."""
    await ledger.fetch("UPDATE events SET received_at = now() - interval '2 days' WHERE id = 'e10'")
    await ledger.fetch("UPDATE events SET reason = '' WHERE id = 'e10'")

    recent = await audit(ledger, datetime.now(UTC) - timedelta(days=1), 20)
    whole = await audit(ledger, None, 20)

    assert (recent.looked_at["event_ends"], broken(recent)) == (9, {})
    assert (whole.looked_at["event_ends"], broken(whole)) == (10, {"event_ends": 1})


async def test_counts_are_complete_where_the_list_is_not(ledger: Ledger) -> None:
    """A thousand broken rows fill no screen and are counted."""
    await ledger.fetch("UPDATE notifications SET shown_at = NULL")

    findings = await audit(ledger, None, 2)

    assert findings.broken["inbox_shows"] == 9
    assert len(findings.flaws["inbox_shows"]) == 2


async def test_an_audit_can_write_nothing_and_reads_by_indexes(ledger: Ledger, database_url: str) -> None:
    """It runs beside the workers: the database itself refuses it to change anything, and no table is scanned."""
    for number in range(20):
        await ledger.fetch(
            "INSERT INTO events (key, source, id, type, time, version, data, extensions, reason, received_at)"
            " SELECT md5($1 || 'f' || n)::uuid, 's', $1 || 'f' || n, 't', now(), 1, '{}', '{}', 'directory',"
            " now() - make_interval(secs => n) FROM generate_series(1, 500) n",
            str(number),
        )
    await ledger.fetch("ANALYZE")
    await ledger.fetch("SELECT pg_stat_reset()")

    findings = await audit(ledger, None, 20)
    await ledger.aclose()

    reader = Ledger(database_url)
    await reader.open()
    scanned = await reader.fetch("SELECT relname FROM pg_stat_user_tables WHERE seq_scan > 0")
    await reader.aclose()
    assert findings.looked_at["event_ends"] == 10_010
    assert [row["relname"] for row in scanned] == []


async def test_a_running_kabar_passes_and_a_breach_is_named_with_exit_code_1(
    database_url: str, rabbitmq_url: str
) -> None:
    """What an operator runs: figures of every check, of the broker too, and the exit code for a watch."""
    async with a_world(database_url, rabbitmq_url) as world:
        environment = environment_of(world.settings)
        await world.know("ani")
        (event_id,) = await world.tell(
            PaymentCompleted(user_id="ani", payment_id="p1", amount="1", currency="IDR", period="May")
        )
        await world.until("SELECT 1 FROM events WHERE id = $1", event_id)
        await world.states(event_id)

        well = await kabar(environment, "audit", "--json")
        await world.rows("DELETE FROM deliveries")
        ill = await kabar(environment, "audit", "--since", "1h")
        wrong = await kabar(environment, "audit", "--since", "yesterday")

    document = json.loads(well.out)
    assert (well.code, document["ok"]) == (0, True), well.out + well.err
    figures = {one["check"]: one["looked_at"] for one in document["checks"]}
    assert list(figures) == list(PROMISES)
    assert (figures["queues"], figures["consumers"]) == (18, 18)
    assert figures["event_ends"] == 2
    assert ill.code == 1
    assert "it has neither a delivery nor a skip" in ill.out
    assert "rows without their event cannot be found by time" in ill.out
    assert (wrong.code, wrong.out) == (2, "")


async def test_a_lost_queue_and_lost_jobs_are_named(database_url: str, rabbitmq_url: str) -> None:
    """The broker's side: a queue nobody serves, one that is gone, and work that stands in no queue."""
    async with a_world(database_url, rabbitmq_url, roles=("intake",)) as world:
        environment = environment_of(world.settings)
        await world.rows("INSERT INTO people (id, changed_at) VALUES ('ani', now())")
        for statement in HEALTHY.split(";\n")[2:]:
            await world.rows(statement)
        await world.rows("UPDATE deliveries SET due_at = now() - interval '1 hour' WHERE state = 'queued'")
        channel = await world.broker.channel()
        await channel.queue_delete("kabar.deliver.slack.bulk", if_unused=False, if_empty=False)

        answer = await kabar(environment, "audit", "--json")

    assert answer.code == 1, answer.err
    named = {one["check"]: [row["id"] for row in one["rows"]] for one in json.loads(answer.out)["checks"]}
    assert named["queues"] == ["kabar.deliver.slack.bulk"]
    assert "kabar.deliver.email.normal" in named["consumers"]
    assert "kabar.intake.normal" not in named["consumers"]
    assert named["queued_moves"] == ["kabar.deliver.email.normal"]


@pytest.mark.parametrize(("reached", "named"), [("1 min", ["kabar.deliver.email.normal"]), ("2 hours", [])])
async def test_a_job_lost_out_of_a_busy_queue_is_named_and_a_backlog_is_not(
    database_url: str, rabbitmq_url: str, reached: str, named: list[str]
) -> None:
    """Other jobs stand in the queue: whether the couriers are past the place of this one tells whether it is lost."""
    async with a_world(database_url, rabbitmq_url, roles=("intake",)) as world:
        for statement in HEALTHY.split(";\n"):
            await world.rows(statement)
        await world.rows("UPDATE deliveries SET due_at = now() - interval '1 hour' WHERE state = 'queued'")
        await world.rows("INSERT INTO marks SELECT 'email', 'normal', now(), now() - $1::text::interval", reached)
        channel = await world.broker.channel()
        await channel.default_exchange.publish(aio_pika.Message(b"{}"), "kabar.deliver.email.normal")

        answer = await kabar(environment_of(world.settings), "audit", "--json")

    checks = {one["check"]: one for one in json.loads(answer.out)["checks"]}
    assert [row["id"] for row in checks["queued_moves"]["rows"]] == named, answer.err


async def test_a_broker_that_is_away_is_itself_a_breach(database_url: str) -> None:
    """What cannot be looked at is not called well; the ledger is checked all the same."""
    environment = {
        "KABAR_DATABASE_URL": database_url, "KABAR_AMQP_URL": "amqp://127.0.0.1:1/", "KABAR_CHANNELS": "inbox",
    }  # fmt: skip

    answer = await kabar(environment, "audit")

    assert answer.code == 1
    assert "the broker cannot be reached" in answer.out
    assert "the broker does not answer" in answer.out
