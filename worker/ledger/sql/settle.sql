-- Write outcomes back, each only under its own lease. A message that was sent although its lease had run out and
-- was reaped meanwhile is settled too, as long as nobody has leased it again: that is the truth, and saves a double.
WITH verdict AS (
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::bool[],
                         $8::bool[], $9::text[], $10::text[], $11::int[], $12::bool[], $13::text[], $14::text[],
                         $15::text[], $16::float8[])
        AS v (id, token, state, reason, detail, delay, gives_back, resends, reference, outcome, duration_ms,
              suppresses, fingerprint, template_version, provider, rest)
), settled AS (
    UPDATE deliveries d
    SET state = CASE WHEN v.state = 'waiting' AND now() + make_interval(secs => v.delay) >= d.expires_at
                     THEN 'expired' ELSE v.state END,
        reason = v.reason,
        detail = CASE WHEN d.state = 'leased' THEN v.detail ELSE 'its lease had run out' END,
        attempt = d.attempt - CASE WHEN v.gives_back THEN 1 ELSE 0 END,
        resends = d.resends + CASE WHEN v.resends THEN 1
                                   WHEN d.state IN ('waiting', 'queued') THEN -1  -- it was not needed after all
                                   ELSE 0 END,
        reference = v.reference,
        template_version = coalesce(nullif(v.template_version, ''), d.template_version),
        provider = coalesce(nullif(v.provider, ''), d.provider),
        due_at = CASE WHEN v.state = 'queued' THEN now() + interval '60 s'
                      WHEN v.state = 'waiting' AND now() + make_interval(secs => v.delay) < d.expires_at
                      THEN now() + make_interval(secs => v.delay) END,
        finished_at = CASE WHEN v.state = 'queued' THEN NULL
                           WHEN v.state = 'waiting' AND now() + make_interval(secs => v.delay) < d.expires_at
                           THEN NULL ELSE now() END
    FROM verdict v
    WHERE d.id = v.id AND d.token = v.token
      AND (d.state = 'leased'
           OR (v.outcome = 'sent' AND d.reason = 'lease_ran_out'
               AND d.state IN ('waiting', 'queued', 'unsure', 'expired', 'dead')))
    RETURNING d.id, d.event_key, d.person_id, d.channel, d.address, d.state, d.attempt, v.reason, d.detail,
              v.outcome, v.duration_ms, v.suppresses, v.fingerprint, d.template_version, d.provider, v.rest
), tried AS (
    INSERT INTO attempts (delivery_id, attempt, outcome, reason, detail, duration_ms)
    SELECT id, attempt, outcome, reason, detail, duration_ms FROM settled WHERE outcome NOT IN ('sent', 'released')
), buried AS (
    INSERT INTO dead_letters (id, kind, delivery_id, event_id, event_type, channel, stage, reason, remedy, fingerprint,
                              template_version, provider)
    SELECT gen_random_uuid(), 'delivery', s.id, e.id, e.type, s.channel, 'settle', s.reason, s.detail, s.fingerprint,
           coalesce(s.template_version, ''), coalesce(s.provider, '')
    FROM settled s JOIN events e ON e.key = s.event_key WHERE s.state = 'dead'
), suppressed AS (
    UPDATE addresses a SET suppressed_reason = s.reason, suppressed_at = now()
    FROM settled s
    WHERE s.suppresses AND a.person_id = s.person_id AND a.channel = s.channel AND a.address = s.address
), rested AS (
    -- An address that asked for rest gets it from every worker.
    INSERT INTO paces AS p (key, next_at, tail_at)
    SELECT hashtextextended(channel || ' ' || address, 0) AS key, now() + make_interval(secs => max(rest)), now()
    FROM settled WHERE rest > 0 GROUP BY key ORDER BY key
    ON CONFLICT (key) DO UPDATE SET next_at = greatest(p.next_at, excluded.next_at)
), shown AS (
    UPDATE notifications n
    SET title = i.title, body = i.body, link = i.link, action = i.action, trimmings = i.trimmings::jsonb,
        shown_at = now()
    FROM unnest($17::uuid[], $18::uuid[], $19::text[], $20::text[], $21::text[], $22::text[],
                $23::text[])
         AS i (id, notification_id, title, body, link, action, trimmings)
    JOIN settled s ON s.id = i.id AND s.state = 'sent'
    WHERE n.id = i.notification_id
)
SELECT id, state, state = 'sent' AND detail <> '' AS is_late FROM settled
