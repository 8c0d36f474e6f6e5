-- One slice of a large audience: rows for its people, and the cursor moved past them, if nobody has done so before.
-- Whoever was told already, because the event names them or by an earlier slice, keeps those rows.
WITH moved AS (
    UPDATE fan_outs
    SET cursor = $3, people = people + $5,
        due_at = CASE WHEN $4 THEN NULL ELSE now() + interval '60 s' END,
        finished_at = CASE WHEN $4 THEN now() END
    WHERE event_key = $1 AND cursor = $2 AND finished_at IS NULL
    RETURNING event_key, expires_at
), notification AS (
    INSERT INTO notifications (id, event_key, person_id, route, category, critical, expires_at, rule)
    SELECT n.id, n.event_key, n.person_id, n.route, n.category, n.critical, moved.expires_at, n.rule
    FROM moved, unnest($6::uuid[], $7::uuid[], $8::text[], $9::text[], $10::text[], $11::bool[], $12::timestamptz[],
                       $13::text[])
         AS n (id, event_key, person_id, route, category, critical, expires_at, rule)
    ON CONFLICT (id) DO NOTHING
), delivery AS (
    INSERT INTO deliveries (id, notification_id, event_key, person_id, channel, address, lane, state, reason, detail,
                            attempt_limit, on_unsure, due_at, expires_at, finished_at, template_edition,
                            decided_by)
    SELECT d.id, d.notification_id, d.event_key, d.person_id, d.channel, d.address, d.lane, d.state, d.reason,
           d.detail, d.attempt_limit, d.on_unsure,
           CASE WHEN d.state = 'queued' THEN now() + interval '60 s' END,
           moved.expires_at,
           CASE WHEN d.state <> 'queued' THEN now() END,
           $28::bigint, d.decided_by
    FROM moved, unnest($14::uuid[], $15::uuid[], $16::uuid[], $17::text[], $18::text[], $19::text[], $20::text[],
                       $21::text[], $22::text[], $23::text[], $24::int[], $25::text[], $26::timestamptz[], $27::text[])
         AS d (id, notification_id, event_key, person_id, channel, address, lane,
               state, reason, detail, attempt_limit, on_unsure, expires_at, decided_by)
    ON CONFLICT (id) DO NOTHING
)
SELECT EXISTS (SELECT FROM moved) AS is_ours
