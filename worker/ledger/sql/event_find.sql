-- Events by their producer's id; each source may have one.
SELECT key, source, id, type, time, subject, actor, audience, priority, expires_at, version, reason, repeats, received_at
FROM events WHERE id = $1 AND ($2 = '' OR source = $2) ORDER BY received_at LIMIT $3
