-- One batch of decided events becomes rows. An event whose row is already there keeps all that is there:
-- its notifications and deliveries are not written again, whatever has changed since.
WITH event AS (
    INSERT INTO events (key, source, id, type, time, subject, actor, audience, priority, expires_at, version,
                        data, extensions, traceparent, reason, repeats, routes)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::text[],
                         $8::text[], $9::text[], $10::timestamptz[], $11::int[],
                         $12::jsonb[], $13::jsonb[], $14::text[], $15::text[], $16::int[], $17::text[])
    ON CONFLICT (key) DO UPDATE SET repeats = events.repeats + 1 + excluded.repeats
    RETURNING key, (xmax = 0) AS is_new
), notification AS (
    INSERT INTO notifications (id, event_key, person_id, route, category, critical, expires_at, rule)
    SELECT n.* FROM unnest($18::uuid[], $19::uuid[], $20::text[], $21::text[], $22::text[], $23::bool[],
                           $24::timestamptz[], $25::text[])
           AS n (id, event_key, person_id, route, category, critical, expires_at, rule)
    JOIN event ON event.key = n.event_key AND event.is_new
), delivery AS (
    INSERT INTO deliveries (id, notification_id, event_key, person_id, channel, address, lane, state, reason, detail,
                            attempt_limit, on_unsure, due_at, expires_at, finished_at, template_edition,
                            decided_by)
    SELECT d.id, d.notification_id, d.event_key, d.person_id, d.channel, d.address, d.lane, d.state, d.reason,
           d.detail, d.attempt_limit, d.on_unsure,
           CASE WHEN d.state = 'queued' THEN now() + interval '60 s' END,
           d.expires_at,
           CASE WHEN d.state <> 'queued' THEN now() END,
           $40::bigint, d.decided_by
    FROM unnest($26::uuid[], $27::uuid[], $28::uuid[], $29::text[], $30::text[], $31::text[], $32::text[],
                $33::text[], $34::text[], $35::text[], $36::int[], $37::text[], $38::timestamptz[], $39::text[])
         AS d (id, notification_id, event_key, person_id, channel, address, lane,
               state, reason, detail, attempt_limit, on_unsure, expires_at, decided_by)
    JOIN event ON event.key = d.event_key AND event.is_new
), fan_out AS (
    INSERT INTO fan_outs (event_key, lane, expires_at, due_at)
    SELECT f.event_key, f.lane, f.expires_at, now() + interval '60 s'
    FROM unnest($41::uuid[], $42::text[], $43::timestamptz[]) AS f (event_key, lane, expires_at)
    JOIN event ON event.key = f.event_key AND event.is_new
)
SELECT key FROM event WHERE NOT is_new
