"""What an explanation costs: the same in a ledger of any size."""

from __future__ import annotations

import pytest

from worker.ledger.connection import Ledger
from worker.ledger.explanation import read_file

FILL = """
INSERT INTO people (id, roles, changed_at) SELECT 'p' || n, ARRAY['r'], now() FROM generate_series(1, 5000) n;
INSERT INTO addresses (person_id, channel, address)
SELECT 'p' || n, 'email', 'p' || n || '@x.test' FROM generate_series(1, 5000) n;
INSERT INTO preferences SELECT 'p' || n, '*', 'email', true, now() FROM generate_series(1, 5000) n;
INSERT INTO events (key, source, id, type, time, version, data, extensions, reason, routes)
SELECT md5('e' || n)::uuid, 's', 'e' || n, 't', now(), 1, '{}', '{}', '', 'everyone=audience'
FROM generate_series(1, 2000) n;
INSERT INTO notifications (id, event_key, person_id, route, category, critical, expires_at)
SELECT md5('n' || n)::uuid, md5('e1')::uuid, 'p' || n, 'everyone', 'news', false, now() FROM generate_series(1, 5000) n;
INSERT INTO deliveries (id, notification_id, event_key, person_id, channel, address, lane, state, attempt,
                        attempt_limit, on_unsure, expires_at, finished_at)
SELECT md5(c || n)::uuid, md5('n' || n)::uuid, md5('e1')::uuid, 'p' || n, c, '', 'normal', 'unsure', 1, 3, 'hold',
       now(), now() FROM generate_series(1, 5000) n, unnest(ARRAY['inbox', 'email']) c;
INSERT INTO attempts (delivery_id, attempt, outcome, reason, detail)
SELECT md5('email' || n)::uuid, 1, 'unsure', 'r', '' FROM generate_series(1, 5000) n;
INSERT INTO dead_letters (id, kind, delivery_id, event_id, event_type, stage, reason, fingerprint, state)
SELECT md5('l' || n)::uuid, 'delivery', md5('email' || n)::uuid, 'e' || n, 't', 's', 'r', 'f', 'replayed'
FROM generate_series(1, 5000) n;
INSERT INTO audit (actor, action, subject) SELECT 'eve', 'delivery.resent', md5('email' || n)::uuid::text
FROM generate_series(1, 5000) n
"""
"""An event with a large audience, of which everything is known that can be."""


@pytest.mark.parametrize("is_analysed", [False, True], ids=["fresh", "analysed"])
async def test_the_answer_reads_no_more_of_a_large_ledger_than_of_a_small_one(
    database_url: str, *, is_analysed: bool
) -> None:
    """Some rows of one person, by indexes, whatever lies around them: counted by the database itself."""
    ledger = Ledger(database_url)
    await ledger.open()
    for fill in FILL.split(";\n"):
        await ledger.fetch(fill)
    if is_analysed:
        await ledger.fetch("ANALYZE")
    await ledger.fetch("SELECT pg_stat_reset()")

    file = await read_file(ledger, "e1", "p77")
    await ledger.aclose()

    reader = Ledger(database_url)
    await reader.open()
    tables = await reader.fetch("SELECT relname, seq_scan, idx_tup_fetch FROM pg_stat_user_tables")
    await reader.aclose()
    (case,) = file.cases
    assert [len(rows) for rows in (case.deliveries, case.attempts, case.letters, case.deeds)] == [2, 1, 1, 1]
    assert [row["relname"] for row in tables if row["seq_scan"]] == []
    assert 5 < sum(row["idx_tup_fetch"] or 0 for row in tables) < 50
