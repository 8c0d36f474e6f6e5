-- The providers' accounts of these channels, for people.
SELECT name AS account, provider, state, reason, failures, changed_at,
       CASE WHEN state = 'open' THEN greatest(0, extract(epoch FROM open_until - now()))::float8 END AS rests_seconds
FROM accounts WHERE split_part(name, ':', 1) = ANY($1::text[]) ORDER BY name
