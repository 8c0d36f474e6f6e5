-- Large audiences of which nothing has been heard for a minute. Each is looked at again a minute later.
WITH stalled AS (
    UPDATE fan_outs f SET due_at = now() + interval '60 s'
    WHERE f.event_key IN (SELECT event_key FROM fan_outs WHERE due_at <= now() AND lane = $1
                          ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING f.event_key, f.cursor
)
SELECT s.cursor, e.id, e.source, e.type, e.time, e.subject, e.actor, e.audience, e.priority, e.expires_at, e.version,
       e.data, e.extensions, e.traceparent
FROM stalled s JOIN events e ON e.key = s.event_key
