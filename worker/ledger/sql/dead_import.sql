-- Letters from another ledger, or from before. One whose id is here is refused.
WITH imported AS (
    INSERT INTO dead_letters (id, kind, delivery_id, event_id, event_type, channel, stage, reason, field, remedy,
                              fingerprint, body, properties, routing_key, state, arrivals, created_at, resolved_at,
                              first_seen_at, kabar_version, template_version, provider)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                         $9::text[], $10::text[], $11::text[], $12::bytea[], $13::json[], $14::text[], $15::text[],
                         $16::int[], $17::timestamptz[], $18::timestamptz[], $19::timestamptz[], $20::text[],
                         $21::text[], $22::text[])
    ON CONFLICT (id) DO NOTHING
    RETURNING id
), noted AS (
    INSERT INTO audit (actor, action, subject, detail)
    SELECT $23, 'dead_letter.imported', id::text, $24 FROM imported
)
SELECT id FROM imported
