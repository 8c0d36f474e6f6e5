-- Held deliveries went out, by an operator's word, which the audit keeps; they ended when they came to rest. Not for the
-- inbox: what it shows is written when its delivery is sent, so nobody can have seen it.
WITH ended AS (
    UPDATE deliveries d
    SET state = 'sent', reason = 'said_by_operator'
    WHERE d.id = ANY($1::uuid[]) AND d.state = 'unsure' AND d.channel <> 'inbox'
    RETURNING d.id, d.notification_id, d.event_key, d.person_id, d.channel, d.lane, d.state, d.reason, d.attempt
), noted AS (
    INSERT INTO audit (actor, action, subject, detail) SELECT $2, 'delivery.was_sent', id::text, $3 FROM ended
)
SELECT a.id, a.notification_id, a.person_id, a.channel, a.lane, a.state, a.reason, a.attempt, e.id AS event_id,
       e.source, e.type, e.traceparent
FROM ended a JOIN events e ON e.key = a.event_key
