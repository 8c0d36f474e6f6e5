-- What is ready for a courier, by channel and lane, and how much of it has been published again without being taken.
SELECT channel, lane, count(*) AS queued, count(*) FILTER (WHERE due_at < now() - interval '90 s') AS late
FROM deliveries WHERE state = 'queued' GROUP BY channel, lane ORDER BY channel, lane
