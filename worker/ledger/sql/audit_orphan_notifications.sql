-- Notifications without an event, from a place on.
WITH page AS (SELECT id, event_key FROM notifications WHERE id > $1 ORDER BY id LIMIT $2), broken AS (
    SELECT p.id FROM page p WHERE NOT EXISTS (SELECT FROM events e WHERE e.key = p.event_key)
)
SELECT looked.*, broken.id, ARRAY['no_orphans|a notification, and its event is not there'] AS flaws
FROM (SELECT count(*) AS looked_at, (array_agg(id ORDER BY id DESC))[1] AS behind FROM page) AS looked
LEFT JOIN broken ON true
