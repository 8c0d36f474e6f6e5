-- The letters of an event that was not taken in, newest first.
SELECT id, event_type, stage, reason, field, remedy, state, arrivals, created_at
FROM dead_letters WHERE event_id = $1 AND kind = 'event' ORDER BY created_at DESC LIMIT $2
