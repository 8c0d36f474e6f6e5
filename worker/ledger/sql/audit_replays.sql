-- Events sent again out of dead letters since a moment, over five minutes and under a day ago (later than that they may
-- have been swept), of which nothing has been seen since.
WITH page AS (
    SELECT id, event_id, resolved_at FROM dead_letters
    WHERE state <> 'open' AND resolved_at > greatest($1::timestamptz, now() - interval '1 day')
      AND resolved_at < now() - interval '5 min' AND state = 'replayed' AND kind = 'event' AND event_id <> ''
), broken AS (
    SELECT p.id, 'the event ' || p.event_id || ' was replayed ' || p.resolved_at || ', and did not arrive' AS says
    FROM page p
    WHERE NOT EXISTS (SELECT FROM events e WHERE e.id = p.event_id)
      AND NOT EXISTS (SELECT FROM dead_letters o
                      WHERE o.event_id = p.event_id AND o.kind = 'event' AND o.state <> 'replayed')
)
SELECT looked.looked_at, broken.id, ARRAY['replay_arrives|' || broken.says] AS flaws
FROM (SELECT count(*) AS looked_at FROM page) AS looked LEFT JOIN broken ON true
