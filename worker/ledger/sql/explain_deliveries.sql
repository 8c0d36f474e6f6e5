-- One person's deliveries of an event, whole.
SELECT * FROM deliveries WHERE event_key = $1 AND person_id = $2 ORDER BY notification_id, created_at, channel, address
