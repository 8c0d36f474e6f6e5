-- What waits in a queue for a provider that rests, and would come too late by now. Elsewhere the lease sees to it.
WITH resting AS (
    SELECT name AS channel FROM accounts WHERE name = ANY($1::text[]) AND state IN ('open', 'probing')
), late AS (
    SELECT l.id FROM resting r
    CROSS JOIN LATERAL (SELECT d.id FROM deliveries d
                        WHERE d.state = 'queued' AND d.channel = r.channel AND d.expires_at <= now()
                        LIMIT $2 FOR UPDATE SKIP LOCKED) AS l
), expired AS (
    UPDATE deliveries d SET state = 'expired', reason = 'account_rests', due_at = NULL, finished_at = now()
    FROM late WHERE d.id = late.id
    RETURNING d.id, d.notification_id, d.event_key, d.person_id, d.channel, d.state, d.reason, d.attempt
)
SELECT x.id, x.notification_id, x.person_id, x.channel, x.state, x.reason, x.attempt, e.id AS event_id, e.source, e.type,
       e.traceparent
FROM expired x JOIN events e ON e.key = x.event_key
