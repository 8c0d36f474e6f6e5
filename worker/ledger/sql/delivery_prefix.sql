-- Deliveries by the beginning of their id.
SELECT id, state, channel, reason, expires_at, expires_at <= now() AS is_expired FROM deliveries
WHERE id BETWEEN rpad(replace($1, '-', ''), 32, '0')::uuid AND rpad(replace($1, '-', ''), 32, 'f')::uuid
LIMIT 2
