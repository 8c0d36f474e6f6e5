-- How these accounts are. Seconds, so that no clock but this one counts.
SELECT name, state, reason, extract(epoch FROM open_until - now())::float8 AS open_seconds,
       extract(epoch FROM now() - ramp_from)::float8 AS ramp_seconds
FROM accounts WHERE name = ANY($1::text[])
