-- What became of an event, in numbers.
SELECT channel, state, reason, count(*) AS deliveries
FROM deliveries WHERE event_key = $1 GROUP BY channel, state, reason ORDER BY channel, state, reason
