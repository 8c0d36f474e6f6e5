-- Preferences set or (enabled null) forgotten, as a JSON array; one older than what is known is ignored,
-- and so is one of somebody who was removed since. Answers which were ignored.
WITH given AS (
    SELECT * FROM jsonb_to_recordset($1::jsonb)
        AS i (person_id text, at timestamptz, scope text, channel text, enabled boolean)
), input AS (
    SELECT * FROM given i
    WHERE NOT EXISTS (SELECT FROM people p WHERE p.id = i.person_id AND p.removed_at IS NOT NULL AND p.changed_at >= i.at)
), forgotten AS (
    DELETE FROM preferences p USING input i
    WHERE i.enabled IS NULL AND p.person_id = i.person_id AND p.scope = i.scope AND p.channel = i.channel
      AND p.changed_at <= i.at
), wanted AS (
    INSERT INTO preferences AS p (person_id, scope, channel, enabled, changed_at)
    SELECT person_id, scope, channel, enabled, at FROM input WHERE enabled IS NOT NULL
    ON CONFLICT (person_id, scope, channel) DO UPDATE
    SET enabled = excluded.enabled, changed_at = excluded.changed_at
    WHERE p.changed_at <= excluded.changed_at
)
SELECT person_id, scope, channel FROM given g
WHERE NOT EXISTS (SELECT FROM input i WHERE (i.person_id, i.scope, i.channel) = (g.person_id, g.scope, g.channel))
   OR EXISTS (SELECT FROM preferences p
              WHERE (p.person_id, p.scope, p.channel) = (g.person_id, g.scope, g.channel) AND p.changed_at > g.at)
