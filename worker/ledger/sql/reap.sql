-- Leases that ran out: the holder died or hangs, and nobody knows whether the message went out. The row says so,
-- then the delivery's policy decides: resend while attempts are left, or hold for an operator.
WITH lost AS (
    SELECT id FROM deliveries WHERE state = 'leased' AND due_at <= now()
    ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
), reaped AS (
    UPDATE deliveries d
    SET state = CASE WHEN d.on_unsure = 'hold' THEN 'unsure'
                     WHEN d.attempt >= d.attempt_limit THEN 'dead'
                     WHEN d.expires_at <= now() THEN 'expired'
                     ELSE 'waiting' END,
        reason = 'lease_ran_out',
        resends = d.resends + CASE WHEN d.on_unsure = 'resend' AND d.attempt < d.attempt_limit
                                        AND d.expires_at > now() THEN 1 ELSE 0 END,
        due_at = CASE WHEN d.on_unsure = 'resend' AND d.attempt < d.attempt_limit AND d.expires_at > now()
                      THEN now() END,
        finished_at = CASE WHEN d.on_unsure = 'resend' AND d.attempt < d.attempt_limit AND d.expires_at > now()
                           THEN NULL ELSE now() END
    FROM lost WHERE d.id = lost.id
    RETURNING d.id, d.notification_id, d.event_key, d.person_id, d.channel, d.state, d.reason, d.attempt,
              d.template_version, d.provider
), tried AS (
    INSERT INTO attempts (delivery_id, attempt, outcome, reason, detail)
    SELECT id, attempt, 'unsure', reason, '' FROM reaped
), buried AS (
    INSERT INTO dead_letters (id, kind, delivery_id, event_id, event_type, channel, stage, reason, remedy, fingerprint,
                              template_version, provider)
    SELECT gen_random_uuid(), 'delivery', r.id, e.id, e.type, r.channel, 'lease', r.reason,
           'its worker died or hung at each attempt: look at the worker''s log around these times',
           left(md5('lease' || r.channel || r.reason), 16), coalesce(r.template_version, ''),
           coalesce(r.provider, '')
    FROM reaped r JOIN events e ON e.key = r.event_key WHERE r.state = 'dead'
)
SELECT r.id, r.notification_id, r.person_id, r.channel, r.state, r.reason, r.attempt, e.id AS event_id, e.source, e.type,
       e.traceparent
FROM reaped r JOIN events e ON e.key = r.event_key
