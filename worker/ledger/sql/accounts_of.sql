-- Every provider's account, for people.
SELECT name AS account, provider, state, reason, failures, changed_at,
       CASE WHEN state = 'open' THEN greatest(0, extract(epoch FROM open_until - now()))::float8 END AS rests_seconds
FROM accounts ORDER BY name
