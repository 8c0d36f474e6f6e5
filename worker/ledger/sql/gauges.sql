-- What is not at an end, for the metrics. Reads only the partial indexes of unfinished rows; of a million that are
-- queued nothing but the index, which is why `state` is named and not read.
SELECT channel, lane, 'queued' AS state, count(*) AS deliveries,
       extract(epoch FROM now() - min(due_at)) + 60 AS oldest_seconds
FROM deliveries WHERE state = 'queued' GROUP BY channel, lane
UNION ALL
SELECT channel, '', 'waiting', count(*), NULL FROM deliveries WHERE state = 'waiting' GROUP BY channel
UNION ALL
SELECT channel, '', 'leased', count(*), NULL FROM deliveries WHERE state = 'leased' GROUP BY channel
UNION ALL
SELECT channel, '', 'unsure', count(*), NULL FROM deliveries WHERE state = 'unsure' GROUP BY channel
