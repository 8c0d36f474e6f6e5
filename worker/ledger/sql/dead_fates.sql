-- What the deliveries of these letters are now; no row where a delivery is not in the ledger any more.
SELECT l.id AS letter_id, d.channel, d.state, d.expires_at <= now() AS is_late
FROM dead_letters l JOIN deliveries d ON d.id = l.delivery_id
WHERE l.id = ANY($1::uuid[])
