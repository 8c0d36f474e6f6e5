-- Dead letters by their trouble, the most pressing first. Groups with nothing open are left out, unless $1 is true.
WITH part AS (
    SELECT fingerprint, kind, stage, reason, event_type, channel, kabar_version, template_version, provider,
           count(*) AS letters,
           count(*) FILTER (WHERE state = 'open') AS open,
           count(*) FILTER (WHERE state = 'replayed') AS replayed,
           count(*) FILTER (WHERE state = 'dropped') AS dropped,
           min(first_seen_at) AS first_seen_at,
           max(created_at) AS last_seen_at
    FROM dead_letters
    WHERE fingerprint = ANY(ARRAY(SELECT fingerprint FROM dead_letters WHERE state = 'open'
                                  UNION SELECT fingerprint FROM dead_letters WHERE $1))
    GROUP BY fingerprint, kind, stage, reason, event_type, channel, kabar_version, template_version, provider
), trouble AS (
    SELECT fingerprint, min(kind) AS kind, min(stage) AS stage, min(reason) AS reason,
           sum(letters)::bigint AS letters, sum(open)::bigint AS open, sum(replayed)::bigint AS replayed,
           sum(dropped)::bigint AS dropped, min(first_seen_at) AS first_seen_at, max(last_seen_at) AS last_seen_at,
           array_remove(array_agg(DISTINCT event_type), '') AS event_types,
           array_remove(array_agg(DISTINCT channel), '') AS channels,
           array_remove(array_agg(DISTINCT kabar_version), '') AS kabar_versions,
           array_remove(array_agg(DISTINCT template_version), '') AS template_versions,
           array_remove(array_agg(DISTINCT provider), '') AS providers
    FROM part GROUP BY fingerprint
    ORDER BY open DESC, last_seen_at DESC, fingerprint LIMIT $2
)
SELECT t.*, sample.id AS sample, sample.field, sample.remedy
FROM trouble t
CROSS JOIN LATERAL (
    SELECT l.id, l.field, l.remedy FROM dead_letters l
    WHERE l.fingerprint = t.fingerprint AND (l.state = 'open' OR t.open = 0)
    ORDER BY l.created_at DESC LIMIT 1
) sample
ORDER BY t.open DESC, t.last_seen_at DESC, t.fingerprint
