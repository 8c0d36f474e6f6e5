-- Dead letters of events that were replayed or dropped long ago. An open one is kept for ever.
DELETE FROM dead_letters WHERE id IN (
    SELECT id FROM dead_letters
    WHERE state <> 'open' AND kind <> 'delivery' AND resolved_at < now() - make_interval(secs => $1)
    ORDER BY resolved_at LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING id
