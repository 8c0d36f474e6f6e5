-- Close a letter and say who did it.
WITH resolved AS (
    UPDATE dead_letters SET state = $2, resolved_at = now() WHERE id = $1 RETURNING id
)
INSERT INTO audit (actor, action, subject, detail)
SELECT $3, 'dead_letter.' || $2, id::text, $4 FROM resolved
