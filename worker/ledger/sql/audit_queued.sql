-- What is ready for a courier, by channel and lane; how much of it has been published again without being taken, and how
-- much of that the couriers have passed: see overdue.sql.
SELECT d.channel, d.lane, count(*) AS queued,
       count(*) FILTER (WHERE d.due_at < now() - interval '90 s') AS late,
       count(*) FILTER (WHERE d.due_at < now() - interval '90 s' AND d.due_at <= m.reached_at + interval '40 s') AS passed
FROM deliveries d LEFT JOIN marks m ON m.channel = d.channel AND m.lane = d.lane
WHERE d.state = 'queued' GROUP BY d.channel, d.lane ORDER BY d.channel, d.lane
