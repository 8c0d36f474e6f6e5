-- Which of these deliveries still wait for a courier. `|| ''`: see lease.sql.
SELECT id, channel, lane FROM deliveries WHERE id = ANY($1::uuid[]) AND state || '' = 'queued'
