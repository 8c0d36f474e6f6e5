-- People new or changed, as a JSON array; only what is given changes, and only if it is newer than what is known.
-- An address that is given again is in use again, whatever had suppressed it. Answers of whom more is known already.
WITH input AS (
    SELECT * FROM jsonb_to_recordset($1::jsonb)
        AS i (person_id text, at timestamptz, name text, locale text, time_zone text, roles text[], addresses jsonb)
), applied AS (
    INSERT INTO people AS p (id, name, locale, time_zone, roles, changed_at)
    SELECT person_id, name, locale, time_zone, roles, at FROM input
    ON CONFLICT (id) DO UPDATE
    SET name = coalesce(excluded.name, p.name), locale = coalesce(excluded.locale, p.locale),
        time_zone = coalesce(excluded.time_zone, p.time_zone), roles = coalesce(excluded.roles, p.roles),
        changed_at = excluded.changed_at, removed_at = NULL
    WHERE p.changed_at <= excluded.changed_at
    RETURNING id
), channel AS (
    SELECT input.person_id, c.key AS channel, c.value AS list
    FROM input JOIN applied ON applied.id = input.person_id
    CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(input.addresses) WHEN 'object' THEN input.addresses ELSE '{}' END) AS c
), given AS (
    SELECT DISTINCT ON (person_id, channel, a.address) person_id, channel, a.address, a.position
    FROM channel CROSS JOIN LATERAL jsonb_array_elements_text(list) WITH ORDINALITY AS a (address, position)
    ORDER BY person_id, channel, a.address, a.position
), gone AS (
    DELETE FROM addresses a USING channel c
    WHERE a.person_id = ANY(ARRAY(SELECT person_id FROM channel))  -- said for the index: else all addresses are read
      AND a.person_id = c.person_id AND a.channel = c.channel AND NOT c.list ? a.address
), placed AS (
    INSERT INTO addresses (person_id, channel, address, position)
    SELECT person_id, channel, address, position FROM given
    ON CONFLICT (person_id, channel, address) DO UPDATE
    SET position = excluded.position, suppressed_reason = NULL, suppressed_at = NULL
)
SELECT person_id FROM input EXCEPT SELECT id FROM applied
