-- How many open letters a group or a filter ('' is any) has since $5, and the moment at which that was so.
SELECT count(*) AS letters, now() AS at
FROM dead_letters
WHERE state = 'open' AND created_at >= $5
  AND ($1 = '' OR fingerprint = $1) AND ($2 = '' OR reason = $2) AND ($3 = '' OR event_type = $3)
  AND ($4 = '' OR channel = $4)
