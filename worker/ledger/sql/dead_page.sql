-- Open letters of a group or a filter ('' is any), oldest first, from behind ($6, $7) up to $5. At most $8, and fewer
-- where their bodies are more than $9 bytes, but always the first.
SELECT * FROM (
    SELECT l.*, sum(coalesce(length(body), 0)) OVER (ORDER BY created_at, id) - coalesce(length(body), 0) AS bytes_before
    FROM (
        SELECT * FROM dead_letters
        WHERE state = 'open' AND created_at <= $5 AND (created_at, id) > ($6, $7)
          AND ($1 = '' OR fingerprint = $1) AND ($2 = '' OR reason = $2) AND ($3 = '' OR event_type = $3)
          AND ($4 = '' OR channel = $4)
        ORDER BY created_at, id LIMIT $8
    ) l
) page
WHERE bytes_before <= $9
ORDER BY created_at, id
