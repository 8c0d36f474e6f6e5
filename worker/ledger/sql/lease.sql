-- Take these deliveries, if they are still to be had and still to be sent. What has changed since the plan is seen
-- here: expiry, a person gone, an address gone or suppressed, that it was read elsewhere, a preference. Concurrent
-- leases of the same row: the second waits for the first and finds it no longer queued.
--
-- `|| ''` hides from the planner that an index of all that is queued would do: statistics made in a quiet hour let it
-- believe that this is nothing, and it would read the whole of it at each lease of a rush hour.
--
-- $4: how many seconds must lie between two messages to one address; 0: none, though one may have to rest; null: that
-- is no question on this channel, and nothing of it is done. What would have to wait for longer than $5 seconds is put
-- off until its slot and costs no attempt. What was put off goes before what is new, and keeps its place.
WITH judged AS (
    SELECT d.id, n.route, e.id AS event_id, e.source, e.type, e.time, e.data, e.traceparent, p.name, p.locale, p.time_zone,
           d.channel, d.address, d.reason IN ('paced', 'address_rests', 'rate_limited') AS was_put_off,
           CASE
               WHEN d.expires_at <= now() THEN 'expired'
               WHEN p.id IS NULL OR p.removed_at IS NOT NULL THEN 'person_unknown'
               WHEN d.channel <> 'inbox' AND a.address IS NULL THEN 'address_gone'
               WHEN a.suppressed_at IS NOT NULL THEN 'address_suppressed'
               WHEN n.read_at IS NOT NULL AND NOT n.critical AND d.channel <> 'inbox' THEN 'read'
               WHEN NOT n.critical AND NOT coalesce((
                   SELECT f.enabled FROM preferences f
                   WHERE f.person_id = d.person_id AND f.channel IN (d.channel, '*')
                     AND f.scope IN ('type:' || e.type, 'category:' || n.category, '*')
                   ORDER BY array_position(ARRAY['type:' || e.type, 'category:' || n.category, '*'], f.scope),
                            f.channel = '*'
                   LIMIT 1), true) THEN 'preference'
               ELSE ''
           END AS objection
    FROM deliveries d
    JOIN notifications n ON n.id = d.notification_id
    JOIN events e ON e.key = d.event_key
    LEFT JOIN people p ON p.id = d.person_id
    LEFT JOIN addresses a ON a.person_id = d.person_id AND a.channel = d.channel AND a.address = d.address
    WHERE d.id = ANY($1::uuid[]) AND d.state || '' = 'queued'
), asked AS (
    SELECT id, key, was_put_off, row_number() OVER (PARTITION BY key ORDER BY was_put_off DESC) AS number
    FROM (SELECT id, was_put_off, hashtextextended(channel || ' ' || address, 0) AS key
          FROM judged WHERE objection = '' AND $4::float8 IS NOT NULL) AS one
), pace AS (
    INSERT INTO paces AS p (key, wanted, put_off, granted, next_at, tail_at)
    SELECT key, wanted, put_off, granted, now() + make_interval(secs => granted * $4::float8),
           now() + make_interval(secs => wanted * $4::float8)
    FROM (SELECT key, count(*) AS wanted, count(*) FILTER (WHERE was_put_off) AS put_off,
                 least(count(*), 1 + floor($5::float8 / $4::float8)) AS granted
          FROM asked WHERE $4::float8 > 0 GROUP BY key ORDER BY key) AS new  -- in order: else two leases might deadlock
    ON CONFLICT (key) DO UPDATE SET (wanted, put_off, granted, next_at, tail_at) = (
        SELECT excluded.wanted, excluded.put_off, g.granted, g.behind,
               CASE WHEN excluded.wanted = g.granted THEN p.tail_at
                    ELSE greatest(g.behind, p.tail_at)
                         + make_interval(secs => (excluded.wanted - g.granted) * $4::float8) END
        FROM (SELECT f.granted, f.first_at + make_interval(secs => f.granted * $4::float8) AS behind
              FROM (SELECT greatest(p.next_at, now()) AS first_at,
                           greatest(0, least(
                               CASE WHEN p.tail_at <= now() + make_interval(secs => $5) THEN excluded.wanted
                                    ELSE excluded.put_off END,
                               1 + floor(extract(epoch FROM now() - greatest(p.next_at, now())
                                                            + make_interval(secs => $5))::float8 / $4::float8)
                           ))::int AS granted) AS f) AS g)
    RETURNING key, wanted, granted, next_at, tail_at
), slot AS (
    SELECT a.id, CASE WHEN a.number <= p.granted
                      THEN p.next_at - make_interval(secs => (p.granted - a.number + 1) * $4::float8)
                      ELSE p.tail_at - make_interval(secs => (p.wanted - a.number + 1) * $4::float8) END AS at
    FROM asked a JOIN pace p ON p.key = a.key
    UNION ALL
    SELECT a.id, (SELECT p.next_at FROM paces p WHERE p.key = a.key) FROM asked a WHERE $4::float8 = 0
), verdict AS (
    SELECT j.*, s.at, s.at IS NOT NULL AND s.at > now() + make_interval(secs => $5::float8) AS is_put_off
    FROM judged j LEFT JOIN slot s ON s.id = j.id
)
UPDATE deliveries d
SET state = CASE WHEN j.objection = 'expired' OR (j.is_put_off AND j.at >= d.expires_at) THEN 'expired'
                 WHEN j.objection <> '' THEN 'skipped'
                 WHEN j.is_put_off THEN 'waiting' ELSE 'leased' END,
    reason = CASE WHEN j.is_put_off THEN 'paced' ELSE j.objection END,
    attempt = d.attempt + CASE WHEN j.objection = '' AND NOT j.is_put_off THEN 1 ELSE 0 END,
    token = $2,
    due_at = CASE WHEN j.objection <> '' OR (j.is_put_off AND j.at >= d.expires_at) THEN NULL
                  WHEN j.is_put_off THEN j.at ELSE now() + make_interval(secs => $3) END,
    finished_at = CASE WHEN j.objection <> '' OR (j.is_put_off AND j.at >= d.expires_at) THEN now() END
FROM verdict j
WHERE d.id = j.id AND d.state || '' = 'queued'
RETURNING d.id, d.notification_id, d.person_id, d.channel, d.address, d.lane, d.state, d.reason, d.attempt,
          d.attempt_limit, d.on_unsure, d.created_at, j.route, j.event_id, j.source, j.type, j.time, j.data,
          j.traceparent, j.name, j.locale, j.time_zone, d.template_edition,
          extract(epoch FROM j.at - now())::float8 AS delay
