-- Deliveries of one channel and lane that have been ready for over a minute, published again where their queue is
-- empty: somebody purged or deleted it. Each is looked at again a minute later.
UPDATE deliveries d SET due_at = now() + interval '60 s'
WHERE d.id IN (SELECT id FROM deliveries WHERE state = 'queued' AND channel = $1 AND lane = $2 AND due_at <= now()
               ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING d.id
