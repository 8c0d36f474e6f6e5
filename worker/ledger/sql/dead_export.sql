-- Letters of a group or a filter ('' is any) since $5, whatever their state, in the order of their ids from behind $6.
-- At most $7, and fewer where their bodies are more than $8 bytes, but always the first.
SELECT * FROM (
    SELECT l.*, sum(coalesce(length(body), 0)) OVER (ORDER BY id) - coalesce(length(body), 0) AS bytes_before
    FROM (
        SELECT * FROM dead_letters
        WHERE id > $6 AND created_at >= $5
          AND ($1 = '' OR fingerprint = $1) AND ($2 = '' OR reason = $2) AND ($3 = '' OR event_type = $3)
          AND ($4 = '' OR channel = $4)
        ORDER BY id LIMIT $7
    ) l
) page
WHERE bytes_before <= $8
ORDER BY id
