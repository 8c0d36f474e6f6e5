-- The newest letters that wait for a human.
SELECT id, kind, event_id, event_type, channel, stage, reason, field, arrivals, created_at
FROM dead_letters WHERE state = 'open' ORDER BY created_at DESC LIMIT $1
