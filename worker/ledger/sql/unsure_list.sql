-- Deliveries that are held because nobody knows whether they went out, the longest held first, from a place on.
SELECT d.id, d.channel, d.address, d.person_id, d.reason, d.detail, d.attempt, d.attempt_limit, d.resends,
       d.finished_at AS held_at, d.expires_at, d.expires_at <= now() AS is_expired, n.route,
       e.id AS event_id, e.source, e.type
FROM deliveries d
LEFT JOIN notifications n ON n.id = d.notification_id
LEFT JOIN events e ON e.key = d.event_key
WHERE d.state = 'unsure' AND d.finished_at >= $1 AND (d.finished_at, d.id) > ($1, $2)
  AND ($3 = '' OR d.channel = $3) AND ($4 = '' OR e.type = $4) AND d.finished_at <= now() - make_interval(secs => $5)
ORDER BY d.finished_at, d.id LIMIT $6
