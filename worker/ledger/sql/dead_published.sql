-- Letters of events that were published again, and who did so. One that has arrived again since it was read stays
-- open: what was done with it has failed already, and is in the audit all the same.
WITH given AS (
    SELECT * FROM unnest($1::uuid[], $2::int[], $4::text[]) AS g (id, arrivals, detail)
), closed AS (
    UPDATE dead_letters l SET state = 'replayed', resolved_at = now()
    FROM given g WHERE l.id = g.id AND l.arrivals = g.arrivals
    RETURNING l.id
), noted AS (
    INSERT INTO audit (actor, action, subject, detail) SELECT $3, 'dead_letter.replayed', id::text, detail FROM given
)
SELECT id FROM closed
