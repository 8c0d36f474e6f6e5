-- Into which of these queues ($1: channels, $2: their lanes) a mark is to be put now: where something has been ready for
-- 20 s, and no mark is under way, or one for so long that it may be lost. Not while the channel's providers rest:
-- couriers hold jobs then without working on them, and a mark could overtake those of another.
INSERT INTO marks AS m (channel, lane, sent_at)
SELECT q.channel, q.lane, now() FROM unnest($1::text[], $2::text[]) AS q (channel, lane)
WHERE EXISTS (SELECT FROM deliveries d
              WHERE d.state = 'queued' AND d.channel = q.channel AND d.lane = q.lane
                AND d.due_at <= now() + interval '40 s')
  AND coalesce((SELECT bool_or(a.state = 'closed') FROM accounts a
                WHERE a.name >= q.channel AND split_part(a.name, ':', 1) = q.channel), true)
ON CONFLICT (channel, lane) DO UPDATE SET sent_at = excluded.sent_at
WHERE m.sent_at <= m.reached_at OR m.sent_at NOT BETWEEN now() - interval '45 s' AND clock_timestamp()
RETURNING m.channel, m.lane, m.sent_at
