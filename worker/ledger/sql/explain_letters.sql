-- The dead letters of these deliveries, oldest first.
SELECT id, delivery_id, state, reason, remedy, created_at, resolved_at
FROM dead_letters WHERE kind = 'delivery' AND delivery_id = ANY($1::uuid[]) ORDER BY created_at
