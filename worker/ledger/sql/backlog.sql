-- What is not at an end, and what of it should have moved on more than a minute ago. Reads only partial indexes.
SELECT 'queued' AS state, count(*) AS total, count(*) FILTER (WHERE due_at < now() - interval '1 min') AS late
FROM deliveries WHERE state = 'queued'
UNION ALL
SELECT 'waiting', count(*), count(*) FILTER (WHERE due_at < now() - interval '1 min')
FROM deliveries WHERE state = 'waiting'
UNION ALL
SELECT 'leased', count(*), count(*) FILTER (WHERE due_at < now() - interval '1 min')
FROM deliveries WHERE state = 'leased'
UNION ALL
SELECT 'unsure', count(*), 0 FROM deliveries WHERE state = 'unsure'
UNION ALL
SELECT 'dead letters', count(*), 0 FROM dead_letters WHERE state = 'open'
