-- What an event made for one person.
SELECT id, route, rule, category, critical, created_at, expires_at, shown_at, read_at
FROM notifications WHERE event_key = $1 AND person_id = $2 ORDER BY route
