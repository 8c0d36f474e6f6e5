-- Deliveries of one channel and lane that have been ready for over a minute and have lost their job: a mark that was put
-- into their queue at least 20 s after they became ready has come back, so that the couriers are past them. Age alone
-- says nothing: a backlog waits for hours. Each is ready anew, and looked at again when a later mark has come back.
UPDATE deliveries d SET due_at = now() + interval '60 s'
WHERE d.id IN (SELECT id FROM deliveries
               WHERE state = 'queued' AND channel = $1 AND lane = $2 AND due_at <= now()
                 AND due_at <= (SELECT m.reached_at + interval '40 s' FROM marks m
                                WHERE m.channel = $1 AND m.lane = $2 AND m.reached_at <= now())
               ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING d.id
