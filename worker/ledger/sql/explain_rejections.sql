-- The letters of an event that was not taken in, oldest first.
SELECT id, event_type, stage, reason, field, remedy, state, arrivals, created_at, resolved_at
FROM dead_letters WHERE event_id = $1 AND kind = 'event' ORDER BY created_at LIMIT $2
