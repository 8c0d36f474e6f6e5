-- Held deliveries are ready once more, each with an attempt left, and counted as sent again; the audit says by whom.
-- The reason stays until the next attempt: by it an answer that comes late after all is still taken for the truth.
WITH again AS (
    UPDATE deliveries d
    SET state = 'queued', attempt_limit = greatest(d.attempt_limit, d.attempt + 1), resends = d.resends + 1,
        due_at = now() + interval '60 s', finished_at = NULL
    WHERE d.id = ANY($1::uuid[]) AND d.state = 'unsure' AND d.expires_at > now()
    RETURNING d.id, d.notification_id, d.event_key, d.person_id, d.channel, d.lane, d.state, d.reason, d.attempt
), noted AS (
    INSERT INTO audit (actor, action, subject, detail) SELECT $2, 'delivery.resent', id::text, $3 FROM again
)
SELECT a.id, a.notification_id, a.person_id, a.channel, a.lane, a.state, a.reason, a.attempt, e.id AS event_id,
       e.source, e.type, e.traceparent
FROM again a JOIN events e ON e.key = a.event_key
