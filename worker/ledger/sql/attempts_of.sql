-- The tries at these deliveries that did not succeed, oldest first.
SELECT delivery_id, attempt, at, outcome, reason, detail, duration_ms
FROM attempts WHERE delivery_id = ANY($1::uuid[]) ORDER BY delivery_id, at
