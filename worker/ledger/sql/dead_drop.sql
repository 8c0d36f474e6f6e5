-- Close letters for good, and say who did it and why. One that is not open any more, or has arrived again since it was
-- read, stays as it is.
WITH wanted AS (
    SELECT l.id FROM dead_letters l JOIN unnest($1::uuid[], $2::int[]) AS g (id, arrivals) USING (id)
    WHERE l.state = 'open' AND l.arrivals = g.arrivals
    FOR UPDATE OF l SKIP LOCKED
), dropped AS (
    UPDATE dead_letters l SET state = 'dropped', resolved_at = now() FROM wanted WHERE l.id = wanted.id RETURNING l.id
), noted AS (
    INSERT INTO audit (actor, action, subject, detail) SELECT $3, 'dead_letter.dropped', id::text, $4 FROM dropped
)
SELECT id FROM dropped
