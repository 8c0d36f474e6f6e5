-- A dead delivery is ready again, with a whole new attempt budget, and in the words that hold now: those it was planned
-- with may be what it died of. One that has expired stays dead.
UPDATE deliveries
SET state = 'queued', reason = '', detail = '', attempt_limit = attempt + $2::int,
    due_at = now() + interval '60 s', finished_at = NULL,
    template_edition = (SELECT max(id) FROM templates)
WHERE id = $1 AND state = 'dead' AND expires_at > now()
RETURNING id, channel, lane
