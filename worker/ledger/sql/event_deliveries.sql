-- The deliveries of an event, person by person; those first that are not at a good end.
SELECT d.id, d.notification_id, d.person_id, n.route, d.channel, d.lane, d.state, d.reason, d.detail, d.attempt,
       d.attempt_limit, d.resends, d.due_at, d.expires_at, d.reference, d.created_at, d.finished_at,
       d.template_version, d.provider
FROM deliveries d JOIN notifications n ON n.id = d.notification_id
WHERE d.event_key = $1
ORDER BY d.state IN ('sent', 'skipped'), d.person_id, n.route, d.channel, d.address LIMIT $2
