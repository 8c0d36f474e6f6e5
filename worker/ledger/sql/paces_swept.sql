-- Forget addresses that may be written to anyway, in a part of the hashes at a time: no index on a time is needed.
DELETE FROM paces WHERE key >= $1 AND key <= $2 AND greatest(next_at, tail_at) < now() - interval '1 min'
