-- A dead delivery is ready again, with as many attempts as it had at first.
UPDATE deliveries
SET state = 'queued', reason = '', detail = '', attempt_limit = attempt + greatest(attempt_limit, 1),
    due_at = now() + interval '60 s', finished_at = NULL
WHERE id = $1 AND state = 'dead'
RETURNING id, channel, lane
