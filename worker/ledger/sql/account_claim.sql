-- Whoever gets a row here tries an account that has rested, with one delivery. If nothing more is heard of the
-- prober, another may take its place after $3 seconds. `changed_at` stays: since when it rests is what people ask.
UPDATE accounts SET state = 'probing', token = $2, open_until = now() + make_interval(secs => $3)
WHERE name = $1 AND state IN ('open', 'probing') AND open_until <= now()
RETURNING name
