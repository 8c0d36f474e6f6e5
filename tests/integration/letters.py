"""Fills a ledger with dead letters, as many as an outage or a bad text makes. All is written by a few statements."""

from __future__ import annotations

import asyncpg

OUTAGE, BAD_TEXT, BAD_EVENT = "a1b2c3d4e5f60718", "a1ffee0011223344", "0123456789abcdef"
"""Fingerprints: of deliveries that a provider did not take, of unusable texts, of events that were not accepted."""

_EVENTS = """
INSERT INTO events (key, source, id, type, time, version, data, extensions, reason)
SELECT md5('e' || n)::uuid, 'shop', 'e' || n, 'custom.note', now(), 1,
       jsonb_build_object('user_ids', jsonb_build_array('p' || n), 'title', 'Hi', 'message', 'Hello ' || n), '{}', ''
FROM generate_series(1, $1::int) n
"""
_PEOPLE = "INSERT INTO people (id, name, changed_at) SELECT 'p' || n, 'P', now() FROM generate_series(1, $1::int) n"
_ADDRESSES = """
INSERT INTO addresses (person_id, channel, address)
SELECT 'p' || n, $2, 'p' || n || '@example.com' FROM generate_series(1, $1::int) n
"""
_NOTIFICATIONS = """
INSERT INTO notifications (id, event_key, person_id, route, category, critical, expires_at)
SELECT md5('n' || n)::uuid, md5('e' || n)::uuid, 'p' || n, 'envelope', 'custom', false, now() + interval '1 day'
FROM generate_series(1, $1::int) n
"""
_DELIVERIES = """
INSERT INTO deliveries (id, notification_id, event_key, person_id, channel, address, lane, state, reason, attempt,
                        attempt_limit, on_unsure, expires_at, finished_at)
SELECT md5('d' || n)::uuid, md5('n' || n)::uuid, md5('e' || n)::uuid, 'p' || n, $2, 'p' || n || '@example.com',
       'normal', 'dead', 'provider_error', 8, 8, 'resend', now() + interval '1 day', now()
FROM generate_series(1, $1::int) n
"""
_LETTERS = """
INSERT INTO dead_letters (id, kind, delivery_id, event_id, event_type, channel, stage, reason, remedy, fingerprint,
                          template_version, kabar_version)
SELECT md5('l' || n)::uuid, 'delivery', md5('d' || n)::uuid, 'e' || n, 'custom.note', $2, 'settle',
       CASE WHEN n % 100 = 0 THEN 'template_failed' ELSE 'provider_error' END, '500 oops',
       CASE WHEN n % 100 = 0 THEN $4 ELSE $3 END, 'en v' || n % 3, '0.' || n % 2
FROM generate_series(1, $1::int) n
"""
_EVENT_LETTERS = """
INSERT INTO dead_letters (id, kind, event_id, event_type, stage, reason, field, remedy, fingerprint, body, properties,
                          routing_key)
SELECT md5('r' || n)::uuid, 'event', 'r' || n, 'custom.note', 'accept', 'payload_invalid', 'data.title', 'say it',
       $2, convert_to(format('{"user_ids":["p%s"],"title":"Hi","message":"Hello"}', n), 'UTF8'),
       json_build_object('content_type', 'application/json', 'message_id', 'r' || n, 'timestamp', NULL,
                         'app_id', 'shop', 'headers', json_build_object()), 'custom.note'
FROM generate_series(1, $1::int) n
"""


async def fill(database: asyncpg.Connection[asyncpg.Record], number: int, channel: str = "inbox") -> None:
    """Add so many dead deliveries, each of an event and a person of its own; every hundredth died of a bad text."""
    await database.execute(_PEOPLE, number)
    await database.execute(_ADDRESSES, number, channel)
    await database.execute(_EVENTS, number)
    await database.execute(_NOTIFICATIONS, number)
    await database.execute(_DELIVERIES, number, channel)
    await database.execute(_LETTERS, number, channel, OUTAGE, BAD_TEXT)


async def fill_events(database: asyncpg.Connection[asyncpg.Record], number: int) -> None:
    """Add so many events that were rejected; each would be accepted now."""
    await database.execute(_EVENT_LETTERS, number, BAD_EVENT)
