-- The same as settle.sql for a batch of nothing but sent messages that no inbox shows, as nearly all are: with a third
-- of the columns and none of what only other outcomes bring about, it takes both sides a fifth less time.
UPDATE deliveries d
SET state = 'sent',
    reason = '',
    detail = CASE WHEN d.state = 'leased' THEN '' ELSE 'its lease had run out' END,
    resends = d.resends - CASE WHEN d.state IN ('waiting', 'queued') THEN 1 ELSE 0 END,
    reference = v.reference,
    template_version = coalesce(nullif(v.template_version, ''), d.template_version),
    provider = coalesce(nullif(v.provider, ''), d.provider),
    due_at = NULL,
    finished_at = now()
FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[])
     AS v (id, token, reference, template_version, provider)
WHERE d.id = v.id AND d.token = v.token
  AND (d.state = 'leased'
       OR (d.reason = 'lease_ran_out' AND d.state IN ('waiting', 'queued', 'unsure', 'expired', 'dead')))
RETURNING d.id, d.state, d.detail <> '' AS is_late
