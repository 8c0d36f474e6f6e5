-- What has waited long enough is ready for a courier.
UPDATE deliveries d SET state = 'queued', due_at = now() + interval '60 s'
WHERE d.id IN (SELECT id FROM deliveries WHERE state = 'waiting' AND due_at <= now()
               ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING d.id, d.channel, d.lane
