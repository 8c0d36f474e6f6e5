-- What is not at an end and should have moved on: a lease over a minute past its time, what waits and large audiences
-- over 90 seconds. At most $1 rows of each are named; `looked_at` and `broken` are complete. Reads partial indexes.
WITH late AS (
    (SELECT 'leases_end' AS "check", id, 'leased until ' || due_at AS says
     FROM deliveries WHERE state = 'leased' AND due_at < now() - interval '1 min' ORDER BY due_at LIMIT $1)
    UNION ALL
    (SELECT 'waiting_ends', id, 'due since ' || due_at
     FROM deliveries WHERE state = 'waiting' AND due_at < now() - interval '90 s' ORDER BY due_at LIMIT $1)
    UNION ALL
    (SELECT 'waiting_ends', event_key, 'its large audience is told no further since ' || due_at
     FROM fan_outs WHERE due_at < now() - interval '90 s' ORDER BY due_at LIMIT $1)
), looked AS (
    SELECT 'leases_end' AS "check", count(*) AS looked_at,
           count(*) FILTER (WHERE due_at < now() - interval '1 min') AS broken
    FROM deliveries WHERE state = 'leased'
    UNION ALL
    SELECT 'waiting_ends', sum(looked_at)::bigint, sum(broken)::bigint
    FROM (SELECT count(*) AS looked_at, count(*) FILTER (WHERE due_at < now() - interval '90 s') AS broken
          FROM deliveries WHERE state = 'waiting'
          UNION ALL
          SELECT count(*), count(*) FILTER (WHERE due_at < now() - interval '90 s')
          FROM fan_outs WHERE due_at IS NOT NULL) AS part
)
SELECT looked.*, late.id, late.says FROM looked LEFT JOIN late USING ("check")
