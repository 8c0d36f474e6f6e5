-- Events of one type older than it is kept, with all that came of them. One of which something is under way, still being
-- told, or held for an operator, stays whole; so does one with an open dead letter.
WITH old AS (
    SELECT e.key FROM events e
    WHERE e.type = $1 AND e.received_at < now() - make_interval(secs => $2)
      AND NOT EXISTS (SELECT FROM fan_outs f WHERE f.event_key = e.key AND f.finished_at IS NULL)
      AND NOT EXISTS (SELECT FROM deliveries d
                      WHERE d.event_key = e.key AND d.state IN ('waiting', 'queued', 'leased', 'unsure'))
      AND NOT EXISTS (SELECT FROM deliveries d
                      JOIN dead_letters l ON l.kind = 'delivery' AND l.delivery_id = d.id AND l.state = 'open'
                      WHERE d.event_key = e.key AND d.state = 'dead')
    ORDER BY e.received_at LIMIT $3 FOR UPDATE OF e SKIP LOCKED
), event AS (
    DELETE FROM events e USING old WHERE e.key = old.key
), fan_out AS (
    DELETE FROM fan_outs f USING old WHERE f.event_key = old.key
), notification AS (
    DELETE FROM notifications n USING old WHERE n.event_key = old.key
), delivery AS (
    DELETE FROM deliveries d USING old WHERE d.event_key = old.key RETURNING d.id
), attempt AS (
    DELETE FROM attempts a USING delivery WHERE a.delivery_id = delivery.id
), letter AS (
    DELETE FROM dead_letters l USING delivery WHERE l.kind = 'delivery' AND l.delivery_id = delivery.id
)
SELECT count(*) AS events FROM old
