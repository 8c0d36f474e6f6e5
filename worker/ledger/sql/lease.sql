-- Take these deliveries, if they are still to be had and still to be sent. What has changed since the plan is seen
-- here: expiry, a person gone, an address gone or suppressed, a preference. Concurrent leases of the same row:
-- the second waits for the first and finds it no longer queued.
WITH judged AS (
    SELECT d.id, n.route, e.id AS event_id, e.source, e.type, e.time, e.data, e.traceparent, p.name, p.locale, p.time_zone,
           CASE
               WHEN d.expires_at <= now() THEN 'expired'
               WHEN p.id IS NULL OR p.removed_at IS NOT NULL THEN 'person_unknown'
               WHEN d.channel <> 'inbox' AND a.address IS NULL THEN 'address_gone'
               WHEN a.suppressed_at IS NOT NULL THEN 'address_suppressed'
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
    WHERE d.id = ANY($1::uuid[]) AND d.state = 'queued'
)
UPDATE deliveries d
SET state = CASE j.objection WHEN '' THEN 'leased' WHEN 'expired' THEN 'expired' ELSE 'skipped' END,
    reason = j.objection,
    attempt = d.attempt + CASE WHEN j.objection = '' THEN 1 ELSE 0 END,
    token = $2,
    due_at = CASE WHEN j.objection = '' THEN now() + make_interval(secs => $3) END,
    finished_at = CASE WHEN j.objection <> '' THEN now() END
FROM judged j
WHERE d.id = j.id AND d.state = 'queued'
RETURNING d.id, d.notification_id, d.person_id, d.channel, d.address, d.lane, d.state, d.reason, d.attempt,
          d.attempt_limit, d.on_unsure, d.created_at, j.route, j.event_id, j.source, j.type, j.time, j.data,
          j.traceparent, j.name, j.locale, j.time_zone, d.template_edition
