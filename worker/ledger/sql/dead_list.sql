-- The newest open letters of a group or a filter ('' is any) since $5.
SELECT id, kind, event_id, event_type, channel, stage, reason, field, fingerprint, arrivals, created_at
FROM dead_letters
WHERE state = 'open' AND created_at >= $5
  AND ($1 = '' OR fingerprint = $1) AND ($2 = '' OR reason = $2) AND ($3 = '' OR event_type = $3)
  AND ($4 = '' OR channel = $4)
ORDER BY created_at DESC, id DESC LIMIT $6
