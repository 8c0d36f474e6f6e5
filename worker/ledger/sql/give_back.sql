-- A lease whose answer was lost, before it is asked for again: nothing of it was sent.
UPDATE deliveries SET state = 'queued', attempt = attempt - 1, due_at = now() + interval '60 s'
WHERE id = ANY($1::uuid[]) AND token = $2 AND state = 'leased'
