-- One delivery as it stands.
SELECT id, notification_id, person_id, channel, lane, state, reason, detail, attempt, attempt_limit, resends, due_at,
       expires_at, reference, created_at, finished_at, provider
FROM deliveries WHERE id = $1
