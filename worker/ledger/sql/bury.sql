-- Letters from the broker's dead queues. The same message again opens its letter again; what an operator has written
-- into its body stays.
INSERT INTO dead_letters (id, kind, event_id, event_type, stage, reason, field, remedy, fingerprint, body, properties,
                          routing_key)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::text[], $10::bytea[], $11::json[], $12::text[])
ON CONFLICT (id) DO UPDATE
SET state = 'open', arrivals = dead_letters.arrivals + 1, resolved_at = NULL, created_at = now(),
    reason = excluded.reason, field = excluded.field, remedy = excluded.remedy, fingerprint = excluded.fingerprint,
    kabar_version = excluded.kabar_version
