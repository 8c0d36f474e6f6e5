-- A dead delivery is ready again, with a whole new attempt budget. One that has expired stays dead.
UPDATE deliveries
SET state = 'queued', reason = '', detail = '', attempt_limit = attempt + $2::int,
    due_at = now() + interval '60 s', finished_at = NULL
WHERE id = $1 AND state = 'dead' AND expires_at > now()
RETURNING id, channel, lane
