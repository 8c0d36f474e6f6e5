-- Close a letter and say who did it. One that has arrived again since it was read stays open: what was done with it
-- has failed already, and is in the audit all the same.
WITH resolved AS (
    UPDATE dead_letters SET state = $2, resolved_at = now() WHERE id = $1 AND arrivals = $5 RETURNING id
), noted AS (
    INSERT INTO audit (actor, action, subject, detail) VALUES ($3, 'dead_letter.' || $2, $1::uuid::text, $4)
)
SELECT id FROM resolved
