-- The dead deliveries of these letters are ready again, with a whole new attempt budget, and in the words that hold
-- now: those they were planned with may be what they died of. One that is not dead any more, or has expired, or whose
-- channel is not among $3, stays as it is; so does one that another replay has in its hands.
WITH letter AS (
    SELECT id, delivery_id FROM dead_letters WHERE id = ANY($1::uuid[]) AND kind = 'delivery'
), revivable AS (
    SELECT d.id FROM deliveries d JOIN events e ON e.key = d.event_key
    WHERE d.id = ANY(ARRAY(SELECT delivery_id FROM letter))
      AND d.state = 'dead' AND d.expires_at > now() AND d.channel = ANY($3::text[])
    FOR UPDATE OF d SKIP LOCKED
), revived AS (
    UPDATE deliveries d
    SET state = 'queued', reason = '', detail = '', attempt_limit = d.attempt + $2::int,
        due_at = now() + interval '60 s', finished_at = NULL,
        template_edition = (SELECT max(id) FROM templates)
    FROM revivable r WHERE d.id = r.id
    RETURNING d.id, d.notification_id, d.event_key, d.person_id, d.channel, d.lane, d.attempt
), closed AS (
    UPDATE dead_letters l SET state = 'replayed', resolved_at = now()
    FROM revived r
    WHERE l.kind = 'delivery' AND l.delivery_id = r.id AND (l.state = 'open' OR l.id = ANY($1::uuid[]))
), noted AS (
    INSERT INTO audit (actor, action, subject, detail)
    SELECT $4, 'dead_letter.replayed', letter.id::text, $5 FROM letter JOIN revived r ON r.id = letter.delivery_id
)
SELECT letter.id AS letter_id, r.id, r.notification_id, r.person_id, r.channel, r.lane, r.attempt, e.id AS event_id,
       e.source, e.type, e.traceparent
FROM letter
JOIN revived r ON r.id = letter.delivery_id
JOIN events e ON e.key = r.event_key
